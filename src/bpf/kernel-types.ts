/** The types of the kernel that runs. */
import { readFileSync } from 'node:fs';
import { Btf } from './btf.ts';
import { KERNEL_BTF } from './obstacle.ts';

/** Some 6 MB: keep what is asked of it, not itself. @throws Error with code ENOENT; CodecError */
export const readKernelTypes = (): Btf => new Btf(readFileSync(KERNEL_BTF));
