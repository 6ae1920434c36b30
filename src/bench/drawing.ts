/** `--svg <file>`: refused before the measurement when there will be nothing to draw, or nowhere to draw it. */
import { access, constants } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf } from '../base/errors.ts';
import { CommandError } from '../console/errors.ts';

/** @param missing what has to be measured for the drawing and is not, with the option that asks for it. */
export async function checkDrawing(file: string | undefined, missing: string | undefined): Promise<void> {
  if (file === undefined) return;
  if (missing !== undefined)
    throw new CommandError('USAGE', `--svg: there is nothing to draw without ${missing}`);
  try {
    await access(dirname(file), constants.W_OK);
  } catch (error) {
    throw new CommandError('USAGE', `--svg: ${file} cannot be written: ${messageOf(error)}`);
  }
}
