/** What `tulle capture` has shown in the background of a scenario. */
import type { Stage } from './scenario.ts';

/** What it says of itself: how many frames there were beside those that are shown differs from run to run. */
const REMARKS = /^(?:capturing on .*|\d+ of \d+ frames? passed the filter.*|\d+ frames?, \d+ dropped.*)\n?/gm;

/** The frames alone, once the capture has ended. */
export async function finishCapture(stage: Stage, background: string): Promise<string> {
  return (await stage.finish(background)).replaceAll(REMARKS, '');
}
