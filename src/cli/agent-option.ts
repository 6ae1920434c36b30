/** The way of every client command to the agent of this host. */
import { Option } from 'commander';
import { AgentClient } from '../api/client.ts';
import { DEFAULT_SOCKET } from '../api/messages.ts';

export interface AgentOption {
  readonly socket: string;
}

export const socketOption = (): Option =>
  new Option('--socket <file>', "unix socket of the agent's API").default(DEFAULT_SOCKET).env('TULLE_SOCKET');

export const agentClient = ({ socket }: AgentOption): AgentClient => new AgentClient({ socketPath: socket });
