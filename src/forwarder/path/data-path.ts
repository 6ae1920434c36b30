/**
 * The packet path: one thread that waits in poll(2) and moves packets between a TUN device and UDP sockets.
 *
 *     device -> route -> hop, length -> segments -> engine -> outbox -> socket of the peer's family
 *     socket -> inbox -> engine -> who may send this -> coalescer -> device
 *
 * Nothing is allocated for a packet. Nothing is queued but in the kernel: when a socket takes no more, the device is not
 * read until it does, and the kernel drops and counts what does not fit the device's queue (`ip -s link`).
 */
import { EAGAIN, EINTR, POLL_FAILED, POLLIN, POLLOUT } from '../../sys/packet-calls.ts';
import { PacketMemory } from '../../sys/packet-memory.ts';
import { PollSet } from '../../sys/poll-set.ts';
import { COALESCER_MEMORY, Coalescer, HEADROOM } from '../packet/coalesce.ts';
import { fragmentPacket } from '../packet/fragment.ts';
import { ICMP_ROOM, type IcmpError, IcmpLimit, mayAnswer, writeIcmpError } from '../packet/icmp.ts';
import { IpPacket } from '../packet/packet.ts';
import { completeChecksum, segmentTcp } from '../packet/segment.ts';
import { TCP } from '../packet/tcp.ts';
import { COUNTER, type Counters, type DropReason, HOST_SLOT } from './counters.ts';
import { DEVICE_MEMORY, TunDevice } from './device.ts';
import type { Engine } from './engine.ts';
import { INBOX_MEMORY, Inbox } from './inbox.ts';
import { OUTBOX_MEMORY, Outbox } from './outbox.ts';
import type { Routes } from './routes.ts';

export interface DataPathDescriptors {
  /** Becomes readable when `onWake` should be called. */
  readonly wake: number;
  readonly device: number;
  /** By family of the underlay; -1: none. */
  readonly sockets: Readonly<Record<4 | 6, number>>;
}

/** Packets read from the device before the sockets have their turn. */
const TURN = 16;
/** After a lone packet one read in so many is followed by another, to see whether packets come together again. */
const READ_ON_EVERY = 8;

const MEMORY =
  DEVICE_MEMORY + COALESCER_MEMORY + 2 * (OUTBOX_MEMORY + INBOX_MEMORY) + HEADROOM + ICMP_ROOM + 4096;

/** Positions in the poll set. */
const WAKE = 0;
const DEVICE = 1;
const FIRST_SOCKET = 2;

/** What the path has for one family of the underlay. */
interface Underlay {
  readonly version: 4 | 6;
  readonly inbox: Inbox;
  readonly outbox: Outbox;
  readonly position: number;
}

export class DataPath {
  readonly #counters: Counters;
  readonly #engine: Engine;
  readonly #memory = new PacketMemory(MEMORY);
  readonly #packet: IpPacket;
  readonly #device: TunDevice;
  readonly #coalescer: Coalescer;
  readonly #underlays: readonly Underlay[];
  readonly #poll: PollSet;
  readonly #icmp: number;
  readonly #icmpLimit = new IcmpLimit();
  #routes: Routes;
  /** Packets have been coming several at a time. */
  #isBusy = false;
  #lone = 0;

  constructor(descriptors: DataPathDescriptors, engine: Engine, routes: Routes, counters: Counters) {
    const { wake, device, sockets } = descriptors;
    this.#counters = counters;
    this.#engine = engine;
    this.#routes = routes;
    this.#packet = new IpPacket(this.#memory);
    this.#device = new TunDevice(this.#memory, device, counters);
    this.#coalescer = new Coalescer(this.#memory, this.#device);
    this.#icmp = this.#memory.reserve(HEADROOM + ICMP_ROOM) + HEADROOM;
    const versions = ([4, 6] as const).filter(version => sockets[version] >= 0);
    this.#underlays = versions.map((version, index) => ({
      version,
      inbox: new Inbox(this.#memory, sockets[version]),
      outbox: new Outbox(this.#memory, sockets[version], engine, counters),
      position: FIRST_SOCKET + index,
    }));
    this.#poll = new PollSet(this.#memory, [wake, device, ...versions.map(version => sockets[version])]);
    this.#poll.want(WAKE, POLLIN);
  }

  set routes(routes: Routes) {
    this.#routes = routes;
  }

  /**
   * Works until `onWake` returns false; what it has taken by then is delivered.
   * @throws Error when the device is gone.
   */
  run(onWake: () => boolean): void {
    for (;;) {
      let isBlocked = false;
      for (const { position, outbox } of this.#underlays) {
        isBlocked ||= outbox.isBlocked;
        this.#poll.want(position, outbox.isBlocked ? POLLIN | POLLOUT : POLLIN);
      }
      this.#poll.want(DEVICE, isBlocked ? 0 : POLLIN);
      this.#poll.wait();
      if (this.#poll.happened(WAKE) !== 0 && !onWake()) return;
      const device = this.#poll.happened(DEVICE);
      if ((device & POLL_FAILED) !== 0) throw new Error('the TUN device was deleted');
      if ((device & POLLIN) !== 0) this.#fromDevice();
      for (const underlay of this.#underlays) {
        const happened = this.#poll.happened(underlay.position);
        if ((happened & POLLOUT) !== 0) underlay.outbox.flush();
        // POLLERR: an ICMP error came for a datagram; receiving takes it off.
        if ((happened & ~POLLOUT) !== 0) this.#fromPeers(underlay);
      }
    }
  }

  #fromDevice(): void {
    for (let count = 0; count < TURN; count++) {
      const length = this.#device.read();
      if (length < 0) {
        if (length !== -EAGAIN && length !== -EINTR)
          throw new Error(`the TUN device failed: errno ${-length}`);
        this.#isBusy = count > 1;
        break;
      }
      this.#forward(length);
      if (this.#isFull()) break;
      // Asking in vain costs a call per packet, so it is not done for each of those that come alone.
      if (!this.#isBusy && !this.#device.isSegmented && ++this.#lone % READ_ON_EVERY !== 0) break;
      this.#isBusy = count > 0 || this.#isBusy;
    }
    for (const { outbox } of this.#underlays) outbox.flush();
  }

  /** Sends the packet that was read from the device to its peer. */
  #forward(available: number): void {
    const packet = this.#packet;
    const device = this.#device;
    if (!packet.read(device.at, available)) return this.#drop('malformed');
    const { view } = this.#memory;
    const slot = this.#routes.find(packet.version, view, packet.destination);
    if (slot === HOST_SLOT) {
      if (packet.isMulticast) return this.#drop('multicast');
      this.#drop('noRoute');
      return this.#answer('noRoute');
    }
    if (packet.hopLimit <= 1) {
      this.#drop('hopLimit', slot);
      return this.#answer('hopLimit');
    }
    const outbox = this.#outboxOf(slot);
    if (outbox === undefined) return this.#drop('sendFailed', slot);
    const mtu = this.#routes.mtuOf(slot);
    const size = device.isSegmented ? this.#segmentSize(mtu) : 0;
    const isTooBig = device.isSegmented ? size < device.segmentSize : packet.length > mtu;
    if (isTooBig && packet.isWhole) {
      this.#drop('tooBig', slot);
      return this.#answer('tooBig', mtu);
    }
    packet.countHop();
    if (!device.isSegmented && device.needsChecksum) {
      if (!completeChecksum(packet, device.checksumStart, device.checksumOffset))
        return this.#drop('malformed', slot);
    }
    outbox.address(slot, this.#routes);
    if (device.isSegmented) {
      if (segmentTcp(packet, device.checksumStart, size, outbox) === 0) this.#drop('malformed', slot);
    } else if (isTooBig) fragmentPacket(packet, mtu, outbox);
    else this.#memory.copy(packet.at, outbox.place(packet.length), packet.length);
  }

  /** Payload per segment that fits: what the kernel wants, or less. */
  #segmentSize(mtu: number): number {
    const tcp = this.#packet.at + this.#device.checksumStart;
    const headers = this.#device.checksumStart + (this.#memory.view.getUint8(tcp + TCP.dataOffset) >> 4) * 4;
    return Math.min(this.#device.segmentSize, Math.max(1, mtu - headers));
  }

  #isFull(): boolean {
    for (const { outbox } of this.#underlays) if (outbox.isFull) return true;
    return false;
  }

  #outboxOf(slot: number): Outbox | undefined {
    const version = this.#routes.familyOf(slot);
    for (const underlay of this.#underlays) if (underlay.version === version) return underlay.outbox;
    return undefined;
  }

  /** Tells the sender of the packet at hand why it goes no further. */
  #answer(error: IcmpError, mtu = 0): void {
    const own = this.#routes.ownAddress(this.#packet.version);
    if (own.length === 0 || !mayAnswer(this.#packet) || !this.#icmpLimit.take()) return;
    const length = writeIcmpError(this.#packet, error, this.#icmp, own, mtu);
    this.#device.write(this.#icmp, length);
  }

  #fromPeers(underlay: Underlay): void {
    const { inbox } = underlay;
    const count = inbox.receive();
    for (let index = 0; index < count; index++) {
      const at = inbox.at(index);
      const end = at + inbox.length(index);
      const size = inbox.datagramSize(index);
      if (size === 0 || inbox.isTruncated(index)) this.#drop('malformed');
      else
        for (let start = at; start < end; start += size)
          this.#deliver(underlay, index, start, Math.min(size, end - start));
    }
    this.#coalescer.flush();
  }

  /** Hands the packet of one datagram to the kernel, if its sender may send it. */
  #deliver({ version, inbox }: Underlay, message: number, at: number, length: number): void {
    const { view, bytes } = this.#memory;
    const packet = this.#packet;
    const address = inbox.addressAt(message);
    const start = this.#engine.open(this.#memory, at, length);
    if (start < 0 || !packet.read(start, at + length - start)) {
      return this.#drop(this.#isPeer(version, address) ? 'malformed' : 'unknownPeer');
    }
    const slot = this.#routes.find(packet.version, view, packet.source);
    if (slot === HOST_SLOT || !this.#routes.hasAddress(slot, version, bytes, address)) {
      // Counted for the peer that the packet says it is from: it may be behind a NAT that gives it another address.
      return this.#drop(this.#isPeer(version, address) ? 'wrongSource' : 'unknownPeer', slot);
    }
    this.#counters.add(slot, COUNTER.receivedPackets, 1);
    this.#counters.add(slot, COUNTER.receivedBytes, packet.length);
    this.#coalescer.add(packet);
  }

  /** @param address offset of a struct sockaddr. */
  #isPeer(version: 4 | 6, address: number): boolean {
    return this.#routes.isPeer(version, this.#memory.view, address + SOCKADDR_IP[version]);
  }

  #drop(reason: DropReason, slot = HOST_SLOT): void {
    this.#counters.add(slot, COUNTER[reason], 1);
  }
}

/** Offset of the address in struct sockaddr_in and sockaddr_in6. */
const SOCKADDR_IP = { 4: 4, 6: 8 } as const;
