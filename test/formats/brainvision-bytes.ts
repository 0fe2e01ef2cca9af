/** BrainVision recordings by hand, key by key as the specification of the core data format lists them. */
import { bytesOf } from '../../src/core/numbers/dtype.ts';

export interface BrainVisionFile {
  readonly values: Int16Array | Float32Array | Uint16Array;
  readonly format: 'INT_16' | 'IEEE_FLOAT_32' | 'UINT_16';
  readonly orientation?: 'MULTIPLEXED' | 'VECTORIZED';
  /** Lines of `[Channel Infos]` after the equals sign. */
  readonly channels: readonly string[];
  readonly markers?: readonly string[];
  readonly intervalUs?: string;
  readonly extra?: string;
}

export function brainVisionFiles(file: BrainVisionFile): Record<string, Uint8Array> {
  const { channels, orientation = 'MULTIPLEXED', markers = [], intervalUs = '2000', extra = '' } = file;
  const header = `Brain Vision Data Exchange Header File Version 1.0
; written by hand

[Common Infos]
Codepage=UTF-8
DataFile=r.eeg
MarkerFile=r.vmrk
DataFormat=BINARY
DataOrientation=${orientation}
NumberOfChannels=${channels.length}
SamplingInterval=${intervalUs}
${extra}
[Binary Infos]
BinaryFormat=${file.format}

[Channel Infos]
${channels.map((info, i) => `Ch${i + 1}=${info}`).join('\n')}

[Comment]
Impedance [kOhm]
`;
  const marks = `Brain Vision Data Exchange Marker File, Version 1.0

[Common Infos]
DataFile=r.eeg

[Marker Infos]
${markers.map((marker, i) => `Mk${i + 1}=${marker}`).join('\n')}
`;
  return {
    'r.vhdr': Buffer.from(header),
    'r.vmrk': Buffer.from(marks),
    'r.eeg': bytesOf(file.values),
  };
}
