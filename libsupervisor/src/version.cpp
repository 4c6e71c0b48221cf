#include "supervisor/version.hpp"

namespace supervisor {

const char SUPERVISOR_LIBRARY = 0;

}  // namespace supervisor
