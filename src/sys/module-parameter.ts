/** Parameters of kernel modules, below /sys/module; the same in every network namespace. */
import { readFileSync } from 'node:fs';

/** Its value without the newline; undefined while the module is not loaded, and where it has no such parameter. */
export function readModuleParameter(module: string, name: string): string | undefined {
  try {
    return readFileSync(`/sys/module/${module}/parameters/${name}`, 'utf8').trimEnd();
  } catch {
    return undefined;
  }
}
