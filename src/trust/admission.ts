/**
 * Who gets a certificate, and whose. A host shows its present certificate, or a token:
 *
 *     its certificate                    its own id
 *     a token made for a host            that host's id, whatever id it asks for
 *     any other token                    an id that has no certificate yet; its own id again, with the key it had
 *
 * A request for a certificate is signed by its key, and a certificate is of no use without it: so a request made with
 * the key in the list (certified-hosts.ts) proves that the host is the one it was.
 */
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { TrustError } from './errors.ts';
import type { JoinAnswer, JoinRefusal, JoinRequest } from './join.ts';
import type { StoreTrust } from './store-trust.ts';
import { requestFingerprint } from './x509.ts';

/** Who asks. */
export interface Requester {
  /** By its verified certificate. */
  readonly host: string | undefined;
  /** For the log. */
  readonly peer: string | undefined;
}

/** An HTTP status and what goes with it. */
export interface Decision {
  readonly status: number;
  readonly body: JoinAnswer | JoinRefusal;
}

const NEW_TOKEN = 'make a new token with `tulle store token` on the host of the store';

export class Admission {
  readonly #trust: StoreTrust;
  readonly #log: Logger;

  constructor(trust: StoreTrust, log: Logger) {
    this.#trust = trust;
    this.#log = log;
  }

  decide(wanted: JoinRequest, requester: Requester): Promise<Decision> {
    return this.#trust.hosts.exclusively(() => this.#decide(wanted, requester));
  }

  async #decide(
    { token, hostId: asked, name, request }: JoinRequest,
    { host, peer }: Requester,
  ): Promise<Decision> {
    const { tokens, hosts } = this.#trust;
    const facts = { peer, hostId: asked, token: token?.id };
    const refuse = (error: string, hint: string): Decision => {
      this.#log.warn({ ...facts, reason: error }, 'a host was refused');
      return { status: 403, body: { error, hint } };
    };

    const pass = token && (await tokens.find(token));
    if (token !== undefined && pass === undefined) {
      return refuse('the token is unknown, has expired or was revoked', NEW_TOKEN);
    }
    if (token === undefined && host === undefined) return refuse('no token was given', NEW_TOKEN);
    if (token === undefined && host !== asked) {
      return refuse(
        `this certificate does not belong to the host ${asked}`,
        'a host renews its own certificate only',
      );
    }
    const hostId = pass?.hostId ?? asked;
    try {
      const known = await hosts.find(hostId);
      const key = await requestFingerprint(request);
      if (pass !== undefined && pass.hostId === undefined && known !== undefined && known.key !== key) {
        return refuse(
          `the host ${hostId} has a certificate, and this request does not prove that it has its key`,
          `a host that lost its key needs a token made for it: \`tulle store token --host ${hostId}\``,
        );
      }
      const body = await this.#trust.certifyHost({ hostId, request, ...(name !== undefined && { name }) });
      this.#log.info(
        { ...facts, hostId },
        token === undefined ? 'a host renewed its certificate' : 'a host joined',
      );
      return { status: 200, body };
    } catch (error) {
      if (error instanceof TrustError) throw error;
      return { status: 400, body: { error: `the certificate request is malformed: ${messageOf(error)}` } };
    }
  }
}
