/**
 * By which endpoint a container has its route to the resolver: Docker refuses a second one to the same address, and starts
 * no container with it. On the disk, because a container may be put on a further network after a restart of the agent.
 *
 *     <state-dir>/docker-resolver-routes.json    {"endpoint":"5f2c...","sandbox":"/var/run/docker/netns/1d0f..."}
 *                                                {"gone":"5f2c..."}
 */
import { rename } from 'node:fs/promises';
import * as v from 'valibot';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { Journal } from '../../sys/journal.ts';

export const RESOLVER_ROUTES_FILE = 'docker-resolver-routes.json';

const text = v.string();
const Line = v.union([v.object({ endpoint: text, sandbox: text }), v.object({ gone: text })]);

export interface ResolverRoutesParts {
  readonly path: string;
  /** Whether an endpoint is there; of one that went without a word the route is gone as well. */
  readonly isPresent: (endpoint: string) => boolean;
  readonly logger: Logger;
}

export class ResolverRoutes implements AsyncDisposable {
  readonly #parts: ResolverRoutesParts;
  readonly #journal: Journal;
  /** Sandboxes by endpoint. */
  readonly #routes = new Map<string, string>();

  private constructor(parts: ResolverRoutesParts) {
    this.#parts = parts;
    this.#journal = new Journal(parts.path, () =>
      [...this.#routes].flatMap(([endpoint, sandbox]) =>
        parts.isPresent(endpoint) ? [JSON.stringify({ endpoint, sandbox })] : [],
      ),
    );
  }

  /** Reads what there is. What makes no sense is put aside as `.damaged`; never fails. */
  static async open(parts: ResolverRoutesParts): Promise<ResolverRoutes> {
    const routes = new ResolverRoutes(parts);
    try {
      for (const line of await routes.#journal.read()) {
        const change = v.parse(Line, JSON.parse(line));
        if ('gone' in change) routes.#routes.delete(change.gone);
        else routes.#routes.set(change.endpoint, change.sandbox);
      }
    } catch {
      routes.#journal.distrust();
      await rename(parts.path, `${parts.path}.damaged`).catch(() => undefined);
    }
    return routes;
  }

  /** Whether the route of this container is to be by this endpoint: it is then, until `leave`. */
  async take(endpoint: string, sandbox: string): Promise<boolean> {
    for (const [id, key] of this.#routes)
      if (key === sandbox && id !== endpoint && this.#parts.isPresent(id)) return false;
    if (this.#routes.get(endpoint) !== sandbox) {
      this.#routes.set(endpoint, sandbox);
      await this.#write({ endpoint, sandbox });
    }
    return true;
  }

  async leave(endpoint: string): Promise<void> {
    if (this.#routes.delete(endpoint)) await this.#write({ gone: endpoint });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#journal[Symbol.asyncDispose]();
  }

  /** A disk that is full keeps no container from its network. */
  async #write(line: v.InferInput<typeof Line>): Promise<void> {
    try {
      await this.#journal.add([JSON.stringify(line)]);
    } catch (error) {
      this.#parts.logger.warn(
        { error: messageOf(error) },
        'a route to the resolver could not be written down',
      );
    }
  }
}
