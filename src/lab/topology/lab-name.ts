/** How labs are named. A name is part of paths that root removes. */
import { ParseError } from '../../base/errors.ts';

export const LAB_NAME =
  'want 1 to 32 lower-case letters, digits and hyphens, beginning with a letter or digit';

/** The name of a lab that is given none. */
export const DEFAULT_LAB = 'default';

/** How a command line names a lab: nothing for the one that is meant anyway. */
export const nameFlag = (name: string): string => (name === DEFAULT_LAB ? '' : ` --name ${name}`);

/** @throws ParseError */
export function parseLabName(text: string): string {
  if (!isLabName(text)) throw new ParseError('a name for a lab', text, LAB_NAME);
  return text;
}

export function isLabName(text: string): boolean {
  return /^[a-z0-9][a-z0-9-]{0,31}$/.test(text);
}
