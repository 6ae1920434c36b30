/** Why this process has no program run by this kernel, in one sentence. */
import { existsSync, readFileSync } from 'node:fs';
import { isCode, messageOf } from '../base/errors.ts';
import { hasBpfCall } from '../sys/bpf-call.ts';
import { isPassing, SysError } from '../sys/errors.ts';
import { BpfError } from './errors.ts';

/** Where the kernel describes its types. */
export const KERNEL_BTF = '/sys/kernel/btf/vmlinux';

/** include/uapi/linux/capability.h. */
const CAP_NET_ADMIN = 12n;
const CAP_SYS_ADMIN = 21n;
const CAP_PERFMON = 38n;
const CAP_BPF = 39n;

/** What is read of this process and of the kernel. */
export interface BpfSurroundings {
  readonly hasCall: boolean;
  /** /proc/self/status. */
  readonly status: string;
  /** /proc/self/uid_map. */
  readonly userMap: string;
  /** /sys/kernel/security/lockdown; empty where the kernel has none. */
  readonly lockdown: string;
  readonly hasBtf: boolean;
}

/** undefined when nothing is known to stand in the way of programs that read the kernel's memory. */
export const bpfObstacle = (): string | undefined => obstacleIn(surroundings());

/** undefined when nothing is known to stand in the way of programs at links, and of finding those that are there. */
export const linkProgramObstacle = (): string | undefined => linkProgramObstacleIn(surroundings());

function surroundings(): BpfSurroundings {
  return {
    hasCall: hasBpfCall(),
    status: readFileSync('/proc/self/status', 'utf8'),
    userMap: readFileSync('/proc/self/uid_map', 'utf8'),
    lockdown: readIfThere('/sys/kernel/security/lockdown'),
    hasBtf: existsSync(KERNEL_BTF),
  };
}

/** Pure. */
export function obstacleIn({
  hasCall,
  status,
  userMap,
  lockdown,
  hasBtf,
}: BpfSurroundings): string | undefined {
  if (!hasCall) return NO_CALL;
  const has = capabilitiesIn(status);
  if (!has(CAP_SYS_ADMIN) && !(has(CAP_BPF) && has(CAP_PERFMON)))
    return 'this process has neither CAP_SYS_ADMIN nor CAP_BPF and CAP_PERFMON: root is needed';
  if (!isMachine(userMap)) return NO_MACHINE;
  if (lockdown.includes('[confidentiality]'))
    return 'the kernel is locked down (confidentiality): it lets no program read its memory';
  if (!hasBtf)
    return `the kernel does not describe its types: ${KERNEL_BTF} is missing (CONFIG_DEBUG_INFO_BTF)`;
  return undefined;
}

/** Pure. Only CAP_SYS_ADMIN opens what another process has loaded. */
export function linkProgramObstacleIn({
  hasCall,
  status,
  userMap,
}: Pick<BpfSurroundings, 'hasCall' | 'status' | 'userMap'>): string | undefined {
  if (!hasCall) return NO_CALL;
  const has = capabilitiesIn(status);
  if (!has(CAP_SYS_ADMIN) || !has(CAP_NET_ADMIN))
    return `this process lacks ${has(CAP_SYS_ADMIN) ? 'CAP_NET_ADMIN' : 'CAP_SYS_ADMIN'}: root is needed for programs at links`;
  return isMachine(userMap) ? undefined : NO_MACHINE;
}

const NO_CALL = `the number of bpf(2) on processors of type ${process.arch} is not known here`;
const NO_MACHINE = 'this process is root in a user namespace only: BPF needs root of the machine';

function capabilitiesIn(status: string): (capability: bigint) => boolean {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]{1,32})$/m.exec(status)?.[1] ?? '0'}`);
  return capability => ((effective >> capability) & 1n) === 1n;
}

const isMachine = (userMap: string) => /^\s*0\s+0\s+4294967295\s*$/.test(userMap);

/** The error of a kernel that refuses, with the reason as far as one is known; the same error where it does not. */
export function unsupported(error: unknown): unknown {
  if (!(error instanceof SysError) || isPassing(error)) return error;
  const reason = bpfObstacle() ?? guess(error) ?? messageOf(error);
  return new BpfError('UNSUPPORTED', `the kernel runs no program here: ${reason}`, { cause: error });
}

function guess(error: SysError): string | undefined {
  if (isCode(error, 'ENOSYS')) return 'it is built without bpf(2) (CONFIG_BPF_SYSCALL)';
  if (isCode(error, 'EPERM'))
    return `something forbids it (seccomp, a security module, RLIMIT_MEMLOCK): ${error.message}`;
  if (isCode(error, 'EINVAL', 'ENOENT')) return `it is too old for what is wanted: ${error.message}`;
  return undefined;
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT', 'EACCES', 'EPERM')) return '';
    throw error;
  }
}
