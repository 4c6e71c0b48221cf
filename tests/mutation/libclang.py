"""The little of libclang that mutate.py needs, by ctypes: Debian packages the library without bindings."""
import ctypes
import glob

_found = sorted(glob.glob("/usr/lib/llvm-*/lib/libclang-*.so.1"), key=lambda path: int(path.split("llvm-")[1].split("/")[0]))
if not _found:
    raise SystemExit("mutation: there is no libclang under /usr/lib/llvm-*")
_library = ctypes.CDLL(_found[-1])


class _Cursor(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_int), ("extra", ctypes.c_int), ("data", ctypes.c_void_p * 3)]


class _Location(ctypes.Structure):
    _fields_ = [("pointers", ctypes.c_void_p * 2), ("number", ctypes.c_uint)]


class _Range(ctypes.Structure):
    _fields_ = [("pointers", ctypes.c_void_p * 2), ("begin", ctypes.c_uint), ("end", ctypes.c_uint)]


class _String(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("flags", ctypes.c_uint)]


class _Type(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_int), ("data", ctypes.c_void_p * 2)]


_Visitor = ctypes.CFUNCTYPE(ctypes.c_int, _Cursor, _Cursor, ctypes.c_void_p)


def _function(name, result, *arguments):
    function = getattr(_library, "clang_" + name)
    function.restype, function.argtypes = result, arguments
    return function


_create = _function("createIndex", ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
_parse = _function("parseTranslationUnit2FullArgv", ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p,
                   ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint,
                   ctypes.POINTER(ctypes.c_void_p))
_unit_cursor = _function("getTranslationUnitCursor", _Cursor, ctypes.c_void_p)
_visit = _function("visitChildren", ctypes.c_uint, _Cursor, _Visitor, ctypes.c_void_p)
_extent = _function("getCursorExtent", _Range, _Cursor)
_begin = _function("getRangeStart", _Location, _Range)
_end = _function("getRangeEnd", _Location, _Range)
_place = _function("getFileLocation", None, _Location, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,
                   ctypes.POINTER(ctypes.c_uint))
_of_main_file = _function("Location_isFromMainFile", ctypes.c_int, _Location)
_kind_name = _function("getCursorKindSpelling", _String, ctypes.c_int)
_spelling = _function("getCursorSpelling", _String, _Cursor)
_type_of = _function("getCursorType", _Type, _Cursor)
_result_of = _function("getCursorResultType", _Type, _Cursor)
_canonical = _function("getCanonicalType", _Type, _Type)
_type_name = _function("getTypeSpelling", _String, _Type)
_characters = _function("getCString", ctypes.c_char_p, _String)
_count_diagnostics = _function("getNumDiagnostics", ctypes.c_uint, ctypes.c_void_p)
_diagnostic = _function("getDiagnostic", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint)
_severity = _function("getDiagnosticSeverity", ctypes.c_int, ctypes.c_void_p)
_diagnostic_text = _function("formatDiagnostic", _String, ctypes.c_void_p, ctypes.c_uint)
_FATAL = 4


def _text(string):
    return (_characters(string) or b"").decode()


def _offset(location):
    offset = ctypes.c_uint()
    _place(location, None, None, None, ctypes.byref(offset))
    return offset.value


class Node:
    """One cursor: its kind, its name, its type, and where in the file it stands."""

    def __init__(self, cursor):
        self._cursor = cursor
        extent = _extent(cursor)
        self.begin, self.end = _offset(_begin(extent)), _offset(_end(extent))
        self.here = bool(_of_main_file(_begin(extent)))
        self.kind = _text(_kind_name(cursor.kind))
        self.name = _text(_spelling(cursor))

    @property
    def type(self):
        return _text(_type_name(_canonical(_type_of(self._cursor))))

    @property
    def result(self):
        return _text(_type_name(_canonical(_result_of(self._cursor))))

    @property
    def children(self):
        found = []

        def take(cursor, _parent, _data):
            found.append(Node(_Cursor.from_buffer_copy(cursor)))
            return 1

        _visit(self._cursor, _Visitor(take), None)
        return found


def parse(path, command):
    """The top of the tree of a file that is compiled so."""
    index, unit = _create(0, 0), ctypes.c_void_p()
    arguments = (ctypes.c_char_p * len(command))(*[word.encode() for word in command])
    if _parse(index, path.encode(), arguments, len(command), None, 0, 0, ctypes.byref(unit)):
        raise SystemExit(f"mutation: libclang does not parse {path}")
    for i in range(_count_diagnostics(unit)):
        diagnostic = _diagnostic(unit, i)
        if _severity(diagnostic) >= _FATAL:
            raise SystemExit("mutation: " + _text(_diagnostic_text(diagnostic, 0)))
    return Node(_unit_cursor(unit))
