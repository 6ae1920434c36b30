/**
 * What the launcher of the CNI and netavark plugins (src/plugin/launcher) asks of the agent: how it was called, as it was
 * called. What that means, and what is wrong with it, is found out by the agent.
 */
import * as v from 'valibot';

/** A path of a file is the longest (PATH_MAX). */
const word = v.pipe(v.string(), v.maxLength(4096));
/** As the link of a namespace in `/proc` reads. */
const namespace = v.pipe(v.string(), v.regex(/^net:\[\d{1,15}\]$/));

const place = {
  /** The namespace in which the plugin was started. */
  own: namespace,
  /** That of the container, and where the launcher holds it open; absent when it is gone. */
  sandbox: v.exactOptional(namespace),
  sandboxPath: v.exactOptional(word),
  /** Standard input. */
  config: v.string(),
};

/** Body of `POST /v1/cni`. */
export const CniCall = v.strictObject({
  /** Name of the program: `tulle` or `tulle-ipam`. */
  type: word,
  /** The variables CNI_*. */
  env: v.pipe(
    v.record(word, v.pipe(v.string(), v.maxLength(64 * 1024))),
    v.check(env => Object.keys(env).length <= 32, 'want at most 32 variables'),
  ),
  ...place,
});
export type CniCall = v.InferOutput<typeof CniCall>;

/** Body of `POST /v1/netavark`. */
export const NetavarkCall = v.strictObject({
  command: v.picklist(['create', 'setup', 'teardown']),
  /** Path of the container's namespace, as podman has it. */
  netns: v.exactOptional(word),
  ...place,
});
export type NetavarkCall = v.InferOutput<typeof NetavarkCall>;

/** What the launcher does: ends with this status after it has printed this. */
export const PluginAnswer = v.object({ status: v.number(), stdout: v.string() });
export type PluginAnswer = v.InferOutput<typeof PluginAnswer>;
