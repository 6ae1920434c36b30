/**
 * Files of variables that shells, systemd and container runtimes read and people edit: `subnet.env` above all.
 *
 *     # comments
 *     FLANNEL_MTU=1450
 *     export FLANNEL_SUBNET="10.5.34.1/24"      # quotes, export
 *     A=1; B='two words' C=three                several in a line
 *
 * Lines may end with CR LF. Nothing is expanded, and what is none of this is passed over.
 */

/** A comment, or an assignment with its value in double quotes, in single quotes or bare. */
const COMMENT_OR_ASSIGNMENT =
  /(?<!\S)#[^\n]*|(?<![^\s;\uFEFF])(\w+)[ \t]*=(?:[ \t]+(?!#))?(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|((?:[^\s;"'\\]|\\.)*))/gs;

/** Each variable with its last value. */
export function parseShellVariables(text: string): ReadonlyMap<string, string> {
  const variables = new Map<string, string>();
  for (const [, name, double, single, bare = ''] of text.matchAll(COMMENT_OR_ASSIGNMENT)) {
    if (name !== undefined) variables.set(name, single ?? (double ?? bare).replaceAll(/\\(.)/gs, '$1'));
  }
  return variables;
}
