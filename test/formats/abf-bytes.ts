/** Axon Binary Files by hand, field by field as the user guides of versions 1 and 2 list them. */
export interface AbfFile {
  readonly version: 1 | 2;
  /** Numbers of all channels, interleaved. */
  readonly samples: readonly number[];
  readonly channels: readonly {
    name: string;
    unit: string;
    scaleFactor: number;
    gain?: number;
    instrumentOffset?: number;
    signalOffset?: number;
  }[];
  readonly isFloat?: boolean;
  readonly mode?: number;
  /** µs between samples of one channel. */
  readonly intervalUs?: number;
  readonly synchUnit?: number;
  /** Start and length of sweeps. */
  readonly sweeps?: readonly (readonly [number, number])[];
  readonly tags?: readonly (readonly [ticks: number, comment: string, type: number])[];
  readonly date?: number;
  /** Numbers that the header promises, if not those that are there. */
  readonly points?: number;
}

const BLOCK = 512;
const RANGE = 10;
const RESOLUTION = 32_768;
const TIME_MS = 34_200_250;

export function abfFile(file: AbfFile): Buffer {
  return file.version === 1 ? version1(file) : version2(file);
}

function blocks(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)]);
}

function samplesOf({ samples, isFloat }: AbfFile): Buffer {
  const bytes = Buffer.alloc(samples.length * (isFloat ? 4 : 2));
  samples.forEach((value, i) => (isFloat ? bytes.writeFloatLE(value, 4 * i) : bytes.writeInt16LE(value, 2 * i)));
  return bytes;
}

function synchOf({ sweeps = [] }: AbfFile): Buffer {
  const bytes = Buffer.alloc(sweeps.length * 8);
  sweeps.forEach(([start, length], i) => {
    bytes.writeInt32LE(start, 8 * i);
    bytes.writeInt32LE(length, 8 * i + 4);
  });
  return bytes;
}

function tagsOf({ tags = [] }: AbfFile): Buffer {
  const bytes = Buffer.alloc(tags.length * 64);
  tags.forEach(([ticks, comment, type], i) => {
    bytes.writeInt32LE(ticks, 64 * i);
    bytes.write(comment.padEnd(56), 64 * i + 4, 'latin1');
    bytes.writeInt16LE(type, 64 * i + 60);
  });
  return bytes;
}

function version1(file: AbfFile): Buffer {
  const { channels, sweeps = [], tags = [], mode = 3, intervalUs = 100, synchUnit = 0 } = file;
  const head = Buffer.alloc(6144);
  const parts = [synchOf(file), tagsOf(file), samplesOf(file)];
  const places: number[] = [];
  let block = head.length / BLOCK;
  for (const part of parts.slice(0, 2)) {
    places.push(block);
    block += blocks(part).length / BLOCK;
  }
  head.write('ABF ', 0, 'latin1');
  head.writeFloatLE(1.83, 4);
  head.writeInt16LE(mode, 8);
  head.writeInt32LE(file.points ?? file.samples.length, 10);
  head.writeInt32LE(sweeps.length, 16);
  head.writeInt32LE(file.date ?? 20_260_501, 20);
  head.writeInt32LE(Math.floor(TIME_MS / 1000), 24);
  head.writeInt16LE(TIME_MS % 1000, 366);
  head.writeInt32LE(block, 40);
  head.writeInt32LE(places[1], 44);
  head.writeInt32LE(tags.length, 48);
  head.writeInt32LE(places[0], 92);
  head.writeInt32LE(sweeps.length, 96);
  head.writeInt16LE(file.isFloat ? 1 : 0, 100);
  head.writeInt16LE(channels.length, 120);
  head.writeFloatLE(intervalUs / channels.length, 122);
  head.writeFloatLE(synchUnit, 130);
  head.writeFloatLE(RANGE, 244);
  head.writeInt32LE(RESOLUTION, 252);
  for (let i = 0; i < 16; i++) {
    head.writeInt16LE(-1, 410 + 2 * i);
    for (const at of [730, 922, 1050]) head.writeFloatLE(1, at + 4 * i);
  }
  channels.forEach(({ name, unit, scaleFactor, gain = 1, instrumentOffset = 0, signalOffset = 0 }, i) => {
    // Inputs 2, 3, …: the place in the sequence is not the number of the input.
    const adc = i + 2;
    head.writeInt16LE(adc, 410 + 2 * i);
    head.writeInt16LE(adc, 378 + 2 * adc);
    head.write(name.padEnd(10), 442 + 10 * adc, 'latin1');
    head.write(unit.padEnd(8), 602 + 8 * adc, 'latin1');
    head.writeFloatLE(gain, 730 + 4 * adc);
    head.writeFloatLE(scaleFactor, 922 + 4 * adc);
    head.writeFloatLE(instrumentOffset, 986 + 4 * adc);
    head.writeFloatLE(signalOffset, 1114 + 4 * adc);
  });
  return Buffer.concat([head, blocks(parts[0]), blocks(parts[1]), parts[2]]);
}

function version2(file: AbfFile): Buffer {
  const { channels, sweeps = [], tags = [], mode = 3, intervalUs = 100, synchUnit = 0 } = file;
  const protocol = Buffer.alloc(512);
  protocol.writeInt16LE(mode, 0);
  protocol.writeFloatLE(intervalUs, 2);
  protocol.writeFloatLE(synchUnit, 14);
  protocol.writeFloatLE(RANGE, 110);
  protocol.writeInt32LE(RESOLUTION, 118);
  const texts = ['clampex', 'protocol.pro', ...channels.flatMap(({ name, unit }) => [name, unit])];
  const adcs = Buffer.alloc(128 * channels.length);
  channels.forEach(({ scaleFactor, gain = 1, instrumentOffset = 0, signalOffset = 0 }, i) => {
    const at = 128 * i;
    adcs.writeInt16LE(i, at);
    adcs.writeFloatLE(gain, at + 28);
    adcs.writeFloatLE(scaleFactor, at + 40);
    adcs.writeFloatLE(instrumentOffset, at + 44);
    adcs.writeFloatLE(1, at + 48);
    adcs.writeFloatLE(signalOffset, at + 52);
    adcs.writeInt32LE(3 + 2 * i, at + 74);
    adcs.writeInt32LE(4 + 2 * i, at + 78);
  });
  const stringHead = Buffer.alloc(44);
  stringHead.write('SSCH', 0, 'latin1');
  const strings = Buffer.concat([stringHead, Buffer.from(texts.map((text) => `${text}\0`).join(''), 'latin1')]);
  const head = Buffer.alloc(512);
  const sections: [number, Buffer, number, number][] = [
    [76, protocol, 512, 1],
    [92, adcs, 128, channels.length],
    [220, strings, strings.length, 1],
    [252, tagsOf(file), 64, tags.length],
    [316, synchOf(file), 8, sweeps.length],
    [236, samplesOf(file), file.isFloat ? 4 : 2, file.points ?? file.samples.length],
  ];
  head.write('ABF2', 0, 'latin1');
  head.set([0, 0, 6, 2], 4);
  head.writeUInt32LE(512, 8);
  head.writeUInt32LE(sweeps.length, 12);
  head.writeUInt32LE(file.date ?? 20_260_501, 16);
  head.writeUInt32LE(TIME_MS, 20);
  head.writeUInt16LE(file.isFloat ? 1 : 0, 30);
  head.writeUInt32LE(2, 72);
  let block = 1;
  for (const [at, part, entryBytes, entries] of sections) {
    head.writeUInt32LE(part.length === 0 ? 0 : block, at);
    head.writeUInt32LE(entryBytes, at + 4);
    head.writeBigInt64LE(BigInt(entries), at + 8);
    block += blocks(part).length / BLOCK;
  }
  return Buffer.concat([head, ...sections.map(([at, part]) => (at === 236 ? part : blocks(part)))]);
}
