// A wire between a browser and a server that can be cut. An HTTP exchange that is under way is let finish: the answer
// to a refresh that is lost ends the session by design (docs/adr/0011). Everything else breaks as on a bad day.
import { createServer, request as forward } from 'node:http';
import { connect } from 'node:net';

export class Proxy {
  /** One in front of `http://HOST:PORT`. */
  static async to(url) {
    const proxy = new Proxy();
    await proxy.#listen(new URL(url));
    return proxy;
  }

  #dark = false;
  #sockets = new Set();
  #cutting;

  async #listen(target) {
    const server = createServer((request, response) => {
      if (this.#dark) return request.socket.resetAndDestroy();
      const { method, url: path, headers } = request;
      const onward = forward({ host: target.hostname, port: target.port, method, path, headers }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      });
      onward.on('error', () => request.socket.resetAndDestroy());
      response.on('close', () => onward.destroy());
      request.pipe(onward);
    });
    server.on('connection', (socket) => {
      socket.on('error', () => {});
      if (this.#dark) socket.resetAndDestroy();
    });
    server.on('upgrade', ({ method, url, headers }, socket, head) => {
      if (this.#dark) return socket.resetAndDestroy();
      const onward = connect(target.port, target.hostname, () => {
        const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
        onward.write(`${method} ${url} HTTP/1.1\r\n${lines.join('')}\r\n`);
        onward.write(head);
        socket.pipe(onward).pipe(socket);
      });
      for (const [end, other] of [[socket, onward], [onward, socket]]) {
        this.#sockets.add(end);
        end.setNoDelay(true);
        end.on('error', () => {});
        end.on('close', () => {
          this.#sockets.delete(end);
          other.destroy();
        });
      }
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    this.host = `127.0.0.1:${server.address().port}`;
    this.url = `http://${this.host}`;
  }

  /** Resets every WebSocket, and refuses whatever comes, until `heal`. */
  cut() {
    this.#dark = true;
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  heal() {
    this.#dark = false;
  }

  /** Cuts again and again: every `every` milliseconds, for `dark` milliseconds. */
  startCutting({ every, dark }) {
    this.#cutting = setInterval(() => {
      this.cut();
      setTimeout(() => this.heal(), dark);
    }, every);
  }

  stopCutting() {
    clearInterval(this.#cutting);
  }
}
