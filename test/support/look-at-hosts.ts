/** A program that looks at every other host as a check does, from the host that it runs on: one line of JSON for each. */
import { AgentClient } from '../../src/api/client.ts';
import { remoteHosts } from '../../src/inspect/remote/remote-inspectors.ts';

const signal = AbortSignal.timeout(60_000);
for (const { name, inspector, reason } of remoteHosts(await new AgentClient().status(signal))) {
  const answer = await (inspector?.look(signal) ?? Promise.reject(reason as Error)).then(
    ({ host, containers }) => ({ host, containers: containers.map(container => container.name) }),
    (error: { readonly code?: string }) => ({ error: error.code }),
  );
  process.stdout.write(`${JSON.stringify({ name, via: inspector?.via, ...answer })}\n`);
}
