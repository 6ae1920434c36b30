/** Who we are, for a cluster with authentication: a name and password become a token, which every call carries. */
import { Metadata } from '@grpc/grpc-js';
import { Auth } from '../wire/generated/auth_pb.ts';
import { callUnary } from '../wire/service.ts';
import type { Channel } from './channel.ts';
import { isAuthOff } from './errors.ts';

export interface User {
  readonly name: string;
  readonly password: string;
}

export class Login {
  readonly #user: User | undefined;
  #known: { readonly token: string | undefined } | undefined;
  #asking: Promise<string | undefined> | undefined;

  constructor(user: User | undefined) {
    this.#user = user;
  }

  /** The cluster's token for us; undefined when there is no user, or the cluster asks for none. */
  async token(channel: Channel, deadline: number, signal: AbortSignal): Promise<string | undefined> {
    if (this.#user === undefined) return undefined;
    if (this.#known !== undefined) return this.#known.token;
    this.#asking ??= authenticate(this.#user, channel, deadline, signal);
    try {
      const token = await this.#asking;
      this.#known = { token };
      return token;
    } finally {
      this.#asking = undefined;
    }
  }

  /** The store refused this token: tokens end with time, with etcd's restart and with changed roles. */
  renew(refused: string | undefined): void {
    if (this.#known?.token === refused) this.#known = undefined;
  }
}

async function authenticate(
  user: User,
  channel: Channel,
  deadline: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const request = { name: user.name, password: user.password };
    const { token } = await callUnary(channel.client, Auth.method.authenticate, request, new Metadata(), {
      deadline,
      signal,
    });
    return token;
  } catch (error) {
    if (isAuthOff(error)) return undefined;
    throw error;
  }
}
