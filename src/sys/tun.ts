/**
 * TUN devices: packets of the network layer, to and from this process (Documentation/networking/tuntap.rst,
 * include/uapi/linux/if_tun.h).
 *
 * With IFF_VNET_HDR every packet has a struct virtio_net_hdr before it, and may be one of up to 64 KiB that stands for
 * many TCP segments (include/uapi/linux/virtio_net.h). Its numbers are in the host's order.
 */
import { closeSync, constants, existsSync, openSync } from 'node:fs';
import { HOST_IS_LITTLE } from '../base/bytes.ts';
import { isCode } from '../base/errors.ts';
import { SysError } from './errors.ts';
import { ioctl, ioctlBytes } from './libc.ts';
import { holdersOfTun } from './process-search.ts';

const CLONE_DEVICE = '/dev/net/tun';

/** Whether TUN devices can be made here; a container has the device only if it was given it. */
export const hasTunDevices = (): boolean => existsSync(CLONE_DEVICE);

/** struct ifreq: the name, then a union of which the flags are used. */
const IFREQ_SIZE = 40;
const IFNAMSIZ = 16;

const IFF_TUN = 0x0001;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;

const TUN_F_CSUM = 0x01;
const TUN_F_TSO4 = 0x02;
const TUN_F_TSO6 = 0x04;

/** _IOW('T', number, int): include/uapi/asm-generic/ioctl.h, and powerpc's own. */
const IOW = ['ppc', 'ppc64'].includes(process.arch) ? 0x80000000 : 0x40000000;
const ioWrite = (number: number) => IOW + (4 << 16) + (0x54 << 8) + number;
const TUNSETIFF = ioWrite(202);
const TUNSETPERSIST = ioWrite(203);
const TUNSETOFFLOAD = ioWrite(208);

export interface TunOptions {
  /** Have headers before packets, and take and give TCP segments in bulk. Default: plain packets. */
  readonly offloads?: boolean;
  /** Let the device stay when the descriptor is closed, so that another process can continue with it. Default: yes. */
  readonly persist?: boolean;
}

/**
 * Opens a TUN device in the calling thread's network namespace, and makes it when there is none.
 *
 * @returns a close-on-exec, non-blocking descriptor. @throws SysError
 */
export function openTun(name: string, { offloads = false, persist = true }: TunOptions = {}): number {
  const fd = openClone();
  try {
    const request = new Uint8Array(IFREQ_SIZE);
    const { written } = new TextEncoder().encodeInto(name, request.subarray(0, IFNAMSIZ - 1));
    if (written === 0 || written !== new TextEncoder().encode(name).length)
      throw new SysError('TUNSETIFF', ENAMETOOLONG, { path: name, hint: 'a name has 1 to 15 bytes' });
    const flags = IFF_TUN | IFF_NO_PI | (offloads ? IFF_VNET_HDR : 0);
    new DataView(request.buffer).setUint16(IFNAMSIZ, flags, HOST_IS_LITTLE);
    attach(fd, name, request);
    if (offloads) ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6, 'TUNSETOFFLOAD');
    ioctl(fd, TUNSETPERSIST, persist ? 1 : 0, 'TUNSETPERSIST');
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

const ENAMETOOLONG = 36;

function openClone(): number {
  try {
    return openSync(CLONE_DEVICE, constants.O_RDWR | constants.O_NONBLOCK);
  } catch (error) {
    if (!isCode(error, 'ENOENT', 'ENODEV', 'EPERM')) throw error;
    const { errno = 0 } = error as NodeJS.ErrnoException;
    const hint = isCode(error, 'EPERM')
      ? 'a container must be started with --device /dev/net/tun'
      : 'load the module of the kernel: modprobe tun';
    throw new SysError('open', -errno, { path: CLONE_DEVICE, cause: error, hint });
  }
}

const HINTS: Readonly<Record<string, string>> = {
  EINVAL: 'a link of this name exists and is not such a TUN device; delete it with: ip link delete',
  EPERM: 'root is needed, or CAP_NET_ADMIN',
};

function attach(fd: number, name: string, request: Uint8Array): void {
  try {
    ioctlBytes(fd, TUNSETIFF, request, 'TUNSETIFF');
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    const hint =
      error.code === 'EBUSY' ? `${holder(name)} has the device open: end it first` : HINTS[error.code];
    throw new SysError('TUNSETIFF', error.errno, {
      path: name,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

const holder = (name: string) => holdersOfTun(name).join(' and ') || 'another program';
