/** Requests and echoes between two namespaces, with a check of every byte, until the test ends. */
import type { TestContext } from 'node:test';
import { start } from '../../src/sys/process.ts';
import { within } from './eventually.ts';
import type { Namespace } from './neighbourhood.ts';

export interface TalkOptions {
  readonly protocol: 'tcp' | 'udp';
  /** Address and port that the client asks. */
  readonly to: string;
  readonly port: number;
  /** Bytes of a request; default 100. */
  readonly size?: number;
}

const SERVERS = {
  tcp: (port: number) =>
    `require('net').createServer(s => { s.on('error', () => {}); s.pipe(s); }).listen(${port}, () => console.log('ready'));
     process.stdin.on('end', () => process.exit()).resume();`,
  udp: (port: number) =>
    `const s = require('dgram').createSocket('udp4'); s.on('message', (m, r) => s.send(m, r.port, r.address));
     s.bind(${port}, () => console.log('ready')); process.stdin.on('end', () => process.exit()).resume();`,
} as const;

/** Each prints `s` for a request, `a` for its echo, `x` for an echo that is none. */
const CLIENTS = {
  tcp: ({ to, port, size = 100 }: TalkOptions) =>
    `let n = 0, left = 0, want; const out = c => process.stdout.write(c);
     const s = require('net').connect({ host: '${to}', port: ${port}, noDelay: true });
     const ask = () => { if (!s.writable) return; want = Buffer.alloc(${size}, ++n); left = want.length; out('s'); s.write(want); };
     s.on('connect', ask).on('error', () => out('e'));
     s.on('data', d => { if (!d.every(b => b === (n & 255))) out('x'); left -= d.length; if (left === 0) { out('a'); setTimeout(ask, 2); } });
     process.stdin.on('end', () => s.end()).resume(); s.on('close', () => process.exit());`,
  udp: ({ to, port, size = 100 }: TalkOptions) =>
    `let n = 0; const out = c => process.stdout.write(c); const s = require('dgram').createSocket('udp4');
     s.on('message', m => out(m.every(b => b === m[0]) && m.length === ${size} ? 'a' : 'x')).on('error', () => {});
     s.connect(${port}, '${to}', () => setInterval(() => { out('s'); s.send(Buffer.alloc(${size}, ++n), () => {}); }, 5));
     process.stdin.on('end', () => process.exit()).resume();`,
} as const;

export class Talk {
  sent = 0;
  answered = 0;
  /** Echoes that were not what had been sent. */
  wrong = 0;
  #hangUp: (() => Promise<void>) | undefined;

  /** Requests that nothing has come back of. */
  get unanswered(): number {
    return this.sent - this.answered;
  }

  /** Closes the connection, and waits until that is done. */
  async hangUp(): Promise<void> {
    await this.#hangUp?.();
  }

  static async start(
    t: Pick<TestContext, 'after'>,
    [client, server]: readonly [Namespace, Namespace],
    options: TalkOptions,
  ): Promise<Talk> {
    const { protocol, port } = options;
    const talk = new Talk();
    const answering = await node(t, server, SERVERS[protocol](port));
    await within('the other end answers', new Promise(resolve => answering.stdout?.once('data', resolve)));
    const asking = await node(t, client, CLIENTS[protocol](options));
    asking.stdout?.on('data', (chunk: Buffer) => {
      for (const letter of chunk.toString()) {
        if (letter === 's') talk.sent++;
        else if (letter === 'a') talk.answered++;
        else talk.wrong++;
      }
    });
    talk.#hangUp = async () => {
      asking.stdin?.end();
      await asking.exited;
    };
    return talk;
  }
}

async function node(t: Pick<TestContext, 'after'>, { namespaces }: Namespace, script: string) {
  const running = await start(process.execPath, ['-e', script], {
    namespaces,
    pipeOutput: true,
    stdin: 'pipe',
  });
  t.after(() => running.killAll());
  return running;
}
