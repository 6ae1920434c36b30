import type { AgentOptions } from './options.ts';
export async function runAgent(options: AgentOptions, signal: AbortSignal): Promise<void> {
  void options;
  void signal;
}
