/**
 * Loaded into an agent by NODE_OPTIONS: it is a version whose maps of the fast path are laid out in another way, as the next
 * one may be, so that it cannot go on with those of this version.
 */
import assert from 'node:assert/strict';
import { registerHooks } from 'node:module';

const LAYOUT = '/src/fastpath/programs/layout.ts';
const VERSION = /\bLAYOUT_VERSION = \d+/;

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    if (!url.endsWith(LAYOUT)) return loaded;
    const text = new TextDecoder().decode(Buffer.from(loaded.source as string | Uint8Array));
    assert.match(text, VERSION);
    return { ...loaded, source: text.replace(VERSION, 'LAYOUT_VERSION = 4242') };
  },
});
