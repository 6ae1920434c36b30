/** Numbers of the protocol, by the names that IANA has for them (RFC 1035, RFC 6891). */

export const TYPE = {
  A: 1,
  NS: 2,
  SOA: 6,
  PTR: 12,
  AAAA: 28,
  OPT: 41,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
} as const;

export const CLASS = { IN: 1, ANY: 255 } as const;

export const RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
} as const;

/** Bits of the second word of a message. */
export const HEADER_FLAG = {
  QR: 0x8000,
  AA: 0x0400,
  TC: 0x0200,
  RD: 0x0100,
  RA: 0x0080,
  CD: 0x0010,
} as const;
/** Where the kind of a request is in the same word. */
export const OPCODE_SHIFT = 11;

export const DNS_PORT = 53;

/** Bytes. */
export const HEADER = 12;
/** Of a message over UDP where the asker states nothing (RFC 1035, section 2.3.4). */
export const LEAST_UDP = 512;
/** Of the largest message over UDP: what no path fragments (the DNS Flag Day of 2020). */
export const MOST_UDP = 1232;
/** Of a query over TCP: a name, its options and room for more. */
export const MOST_QUERY = 4096;
/** Of a message over TCP, whose length is a number of 16 bits. */
export const MOST_TCP = 65_535;
