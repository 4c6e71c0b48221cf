#!/usr/bin/env node
// A worker in Node. It needs of prefork what systemd gives too: a listening socket on descriptor 3,
// and a socket to say READY=1 on. Nothing but Node, which has no datagrams on unix sockets:
// systemd-notify(1) says it.
//
//   prefork run -w 2 --ready notify -- ./worker.js
'use strict';
const http = require('node:http');
const {execFileSync} = require('node:child_process');

// The first socket passed on: sd_listen_fds(3). The variables may be a parent's: hence the pid.
function takeListener() {
  const {LISTEN_PID, LISTEN_FDS} = process.env;
  if (LISTEN_PID !== String(process.pid) || !(Number(LISTEN_FDS) >= 1)) {
    console.error('no socket was passed; try: prefork run -- ./worker.js');
    process.exit(2);
  }
  return 3;
}

function notify(...lines) {
  if (process.env.NOTIFY_SOCKET) execFileSync('systemd-notify', lines);
}

const server = http.createServer((request, reply) => {
  // Told before it is gone that there is no next request: none is under way when we leave.
  reply.setHeader('Connection', 'close');
  reply.end(`process ${process.pid}, in Node\n`);
});

process.on('SIGTERM', () => {
  notify('STOPPING=1', 'STATUS=leaving');
  // What is queued stays in the socket, for the others; what was accepted is answered.
  server.close(() => process.exit(0));
});

server.listen({fd: takeListener()}, () => notify('READY=1', 'STATUS=serving, in Node'));
