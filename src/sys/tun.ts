/**
 * TUN devices: a link whose packets a program reads and writes (include/uapi/linux/if_tun.h). One read or write is one
 * IP packet without any header in front of it.
 */
import { close, ioctl, O_NONBLOCK, O_RDWR, open, read, write } from './libc.ts';
import { Netns } from './netns.ts';
import { readable } from './readiness.ts';

const DEVICE = '/dev/net/tun';
const TUNSETIFF = 0x400454ca;
const IFF_TUN = 0x0001;
const IFF_NO_PI = 0x1000;

/** struct ifreq: the name, then a union that begins with the flags. */
const IFREQ_SIZE = 40;
const IFNAMSIZ = 16;

export class Tun implements Disposable {
  /** Name of the link. */
  readonly name: string;
  #fd: number;

  private constructor(name: string, fd: number) {
    this.name = name;
    this.#fd = fd;
  }

  /**
   * Makes a link that lives as long as this object, or until the process ends; it is down, as every new link.
   * @param name of at most 15 characters; `%d` in it is replaced by the first free number.
   * @throws SysError; EPERM without CAP_NET_ADMIN, EBUSY when the name is taken
   */
  static open(name: string, netns?: Netns): Tun {
    const encoded = new TextEncoder().encode(name);
    if (encoded.length === 0 || encoded.length >= IFNAMSIZ)
      throw new RangeError(`${name} is no name for a link`);
    const request = new Uint8Array(IFREQ_SIZE);
    request.set(encoded);
    new DataView(request.buffer).setUint16(IFNAMSIZ, IFF_TUN | IFF_NO_PI, true);
    using home = Netns.current();
    // The link appears in the namespace that opens the device.
    const fd = (netns ?? home).run(() => open(DEVICE, O_RDWR | O_NONBLOCK));
    try {
      ioctl(fd, TUNSETIFF, request);
    } catch (error) {
      close(fd);
      throw error;
    }
    return new Tun(new TextDecoder().decode(request.subarray(0, request.indexOf(0))), fd);
  }

  /** Length of the next packet, put into `buffer`; undefined when there is none. A longer packet is cut. */
  read(buffer: Uint8Array): number | undefined {
    return read(this.#fd, buffer);
  }

  /** Hands a packet to the kernel as if it had arrived; false when its queue is full. */
  write(packet: Uint8Array): boolean {
    return write(this.#fd, packet) !== undefined;
  }

  /** Resolves when there is a packet to read; rejects with the signal's reason. */
  readable(signal: AbortSignal): Promise<void> {
    return readable(this.#fd, signal);
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) close(this.#fd);
    // The number may soon belong to another file.
    this.#fd = -1;
  }
}
