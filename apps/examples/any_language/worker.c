/* A worker in C. It needs of prefork what systemd gives too: a listening socket on descriptor 3, and
 * a socket to say READY=1 on. Nothing but the C library.
 *
 *   cc -o worker worker.c && prefork run -w 2 --ready notify -- ./worker
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* The first socket passed on: sd_listen_fds(3). The variables may be a parent's: hence the pid. */
static int take_listener(void) {
  const char* pid = getenv("LISTEN_PID");
  const char* count = getenv("LISTEN_FDS");
  if (!pid || !count || atol(pid) != getpid() || atoi(count) < 1) {
    fputs("no socket was passed; try: prefork run -- ./worker\n", stderr);
    exit(2);
  }
  return 3;
}

/* sd_notify(3): one datagram; a name that begins with @ is an abstract one. */
static void notify(const char* text) {
  const char* name = getenv("NOTIFY_SOCKET");
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  size_t length = name ? strlen(name) : 0;
  if (length == 0 || length >= sizeof to.sun_path) return;
  memcpy(to.sun_path, name, length);
  if (name[0] == '@') to.sun_path[0] = '\0';
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
  if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr*)&to, size) < 0)
    perror("NOTIFY_SOCKET");
  close(fd);
}

static void answer(int client) {
  struct timeval patience = {.tv_sec = 10};
  setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  char request[8192];
  size_t size = 0;
  request[0] = '\0';
  while (!strstr(request, "\r\n\r\n")) {
    ssize_t got = recv(client, request + size, sizeof request - 1 - size, 0);
    if (got <= 0) return; /* gone, too slow, or too much */
    size += (size_t)got;
    request[size] = '\0';
  }
  char body[64], reply[256];
  int length = snprintf(body, sizeof body, "process %d, in C\n", (int)getpid());
  int all = snprintf(reply, sizeof reply,
                     "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", length,
                     body);
  if (send(client, reply, (size_t)all, MSG_NOSIGNAL) != all) perror("send");
}

int main(void) {
  int listener = take_listener();
  /* TERM comes through a descriptor: never in the middle of a request, never unseen. */
  sigset_t leave;
  sigemptyset(&leave);
  sigaddset(&leave, SIGTERM);
  sigprocmask(SIG_BLOCK, &leave, NULL);
  int told = signalfd(-1, &leave, SFD_CLOEXEC);
  if (told < 0) {
    perror("signalfd");
    return 1;
  }

  notify("READY=1\nSTATUS=serving, in C");
  for (;;) {
    struct pollfd both[] = {{.fd = told, .events = POLLIN}, {.fd = listener, .events = POLLIN}};
    if (poll(both, 2, -1) < 0 && errno != EINTR) return 1;
    if (both[0].revents) break;
    /* All workers wake for one connection; those who come late get EAGAIN. */
    int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0) continue;
    answer(client);
    close(client);
  }
  /* What is queued stays in the socket, for the others. */
  notify("STOPPING=1\nSTATUS=leaving");
  return 0;
}
