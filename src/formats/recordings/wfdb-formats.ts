/**
 * Storage formats of WFDB signal files.
 * @see https://physionet.org/physiotools/wag/signal-5.htm
 */

/** How samples are packed: so many in so many bytes. */
interface Packing {
  readonly samples: number;
  readonly bytes: number;
  /** The value that marks an invalid sample: the smallest. Differences have none. */
  readonly invalid: number | null;
  readonly isWide: boolean;
}

const PACKINGS = {
  8: { samples: 1, bytes: 1, invalid: null, isWide: true },
  16: { samples: 1, bytes: 2, invalid: -32_768, isWide: false },
  24: { samples: 1, bytes: 3, invalid: -8_388_608, isWide: true },
  32: { samples: 1, bytes: 4, invalid: -2_147_483_648, isWide: true },
  61: { samples: 1, bytes: 2, invalid: -32_768, isWide: false },
  80: { samples: 1, bytes: 1, invalid: -128, isWide: false },
  160: { samples: 1, bytes: 2, invalid: -32_768, isWide: false },
  212: { samples: 2, bytes: 3, invalid: -2048, isWide: false },
  310: { samples: 3, bytes: 4, invalid: -512, isWide: false },
  311: { samples: 3, bytes: 4, invalid: -512, isWide: false },
} as const satisfies Readonly<Record<number, Packing>>;

export type WfdbFormat = keyof typeof PACKINGS;

export function isWfdbFormat(code: number): code is WfdbFormat {
  return Object.hasOwn(PACKINGS, code);
}

export function packingOf(format: WfdbFormat): Packing {
  return PACKINGS[format];
}

/** Whole samples in so many bytes from the beginning of a file; the last group may be short. */
export function samplesIn(format: WfdbFormat, bytes: number): number {
  const { samples, bytes: size } = PACKINGS[format];
  const rest = bytes % size;
  // Bytes up to which the first and second sample of a group reach.
  const reach = format === 212 ? [2] : format === 310 ? [2, 4] : format === 311 ? [2, 3] : [];
  return Math.floor(bytes / size) * samples + reach.filter((upTo) => rest >= upTo).length;
}

/**
 * Raw values; of format 8, the differences.
 * @param bytes from the beginning of a group of samples
 * @param count no more than {@link samplesIn} them
 */
export function decodeWfdb(format: WfdbFormat, bytes: Uint8Array, count: number): Int16Array | Int32Array {
  const out = PACKINGS[format].isWide ? new Int32Array(count) : new Int16Array(count);
  const byte = (at: number): number => bytes[at] ?? 0;
  switch (format) {
    case 8:
      for (let i = 0; i < count; i++) out[i] = (bytes[i] << 24) >> 24;
      break;
    case 16:
      for (let i = 0; i < count; i++) out[i] = bytes[2 * i] | (bytes[2 * i + 1] << 8);
      break;
    case 24:
      for (let i = 0, at = 0; i < count; i++, at += 3) {
        out[i] = ((bytes[at] << 8) | (bytes[at + 1] << 16) | (bytes[at + 2] << 24)) >> 8;
      }
      break;
    case 32:
      for (let i = 0, at = 0; i < count; i++, at += 4) {
        out[i] = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
      }
      break;
    case 61:
      for (let i = 0; i < count; i++) out[i] = (bytes[2 * i] << 8) | bytes[2 * i + 1];
      break;
    case 80:
      for (let i = 0; i < count; i++) out[i] = bytes[i] - 128;
      break;
    case 160:
      for (let i = 0; i < count; i++) out[i] = (bytes[2 * i] | (bytes[2 * i + 1] << 8)) - 32_768;
      break;
    case 212:
      // Low byte of the first, high nibbles of second and first, low byte of the second.
      for (let i = 0, at = 0; i < count; i += 2, at += 3) {
        const nibbles = bytes[at + 1];
        out[i] = (((nibbles & 0x0f) << 28) >> 20) | bytes[at];
        if (i + 1 < count) out[i + 1] = (((nibbles & 0xf0) << 24) >> 20) | bytes[at + 2];
      }
      break;
    case 310:
      // Two words: bits 1 to 10 of each are a sample, and the upper five bits of both the third.
      for (let i = 0, at = 0; i < count; i += 3, at += 4) {
        const first = byte(at) | (byte(at + 1) << 8);
        const second = byte(at + 2) | (byte(at + 3) << 8);
        out[i] = signed10(first >> 1);
        if (i + 1 < count) out[i + 1] = signed10(second >> 1);
        if (i + 2 < count) out[i + 2] = signed10((first >> 11) | ((second >> 11) << 5));
      }
      break;
    case 311:
      // One word of four bytes, from its low bits on.
      for (let i = 0, at = 0; i < count; i += 3, at += 4) {
        const word = byte(at) | (byte(at + 1) << 8) | (byte(at + 2) << 16) | (byte(at + 3) << 24);
        out[i] = signed10(word);
        if (i + 1 < count) out[i + 1] = signed10(word >> 10);
        if (i + 2 < count) out[i + 2] = signed10(word >> 20);
      }
      break;
  }
  return out;
}

function signed10(bits: number): number {
  return (bits << 22) >> 22;
}
