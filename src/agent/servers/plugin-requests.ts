/** Calls of plugins of container runtimes, as their launcher hands them on. */
import type { IncomingMessage } from 'node:http';
import { CniCall, NetavarkCall, type PluginAnswer } from '../../api/cni.ts';
import { readBody } from './request-body.ts';

/** What the launcher sends at most (src/plugin/launcher): a configuration of 4 MiB, whose quotes are escaped. */
const MOST_OF_A_PLUGIN_CALL = 9 * 1024 * 1024;

export interface PluginHandlers {
  cni(call: CniCall): Promise<PluginAnswer>;
  netavark(call: NetavarkCall): Promise<PluginAnswer>;
}

/** The answer; undefined when the request is not one of a plugin. @throws ConfigError */
export async function answerPlugins(
  plugins: PluginHandlers | undefined,
  request: IncomingMessage,
  path: string,
): Promise<PluginAnswer | undefined> {
  if (plugins === undefined || request.method !== 'POST') return undefined;
  if (path === '/v1/cni')
    return await plugins.cni(await readBody(request, CniCall, 'cni', MOST_OF_A_PLUGIN_CALL));
  if (path === '/v1/netavark')
    return await plugins.netavark(await readBody(request, NetavarkCall, 'netavark', MOST_OF_A_PLUGIN_CALL));
  return undefined;
}
