/** Recordings of Open Ephys by hand, file by file as the manual's page of the binary format lists them. */
import { bytesOf, DTYPES, type SampleArray } from '../../src/core/numbers/dtype.ts';

export function npyOf(values: SampleArray | readonly string[]): Buffer {
  const isText = Array.isArray(values);
  const width = isText ? Math.max(1, ...(values as string[]).map((text) => text.length)) : 0;
  const data = isText
    ? Buffer.concat((values as string[]).map((text) => Buffer.from(text.padEnd(width, '\0'), 'latin1')))
    : bytesOf(values as SampleArray);
  const descr = isText ? `|S${width}` : Object.values(DTYPES).find(({ array }) => values instanceof array)!.npy;
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${values.length},), }`;
  const head = Buffer.from(`${text.padEnd(117)}\n`, 'latin1');
  return Buffer.concat([Buffer.from('\x93NUMPY\x01\0', 'latin1'), Buffer.from([head.length, 0]), head, data]);
}

const STREAM = 'Rhythm_FPGA-100.0';

export interface OpenEphysFile {
  readonly values: Int16Array;
  readonly numbers: readonly number[];
  /** Lines on (positive) and off, with their sample numbers. */
  readonly lines?: readonly (readonly [number: number, state: number])[];
  readonly messages?: readonly (readonly [number: number, text: string])[];
  /** True of version 0.6, which has sample numbers and stamps apart. */
  readonly isNew?: boolean;
}

export function openEphysFiles({ values, numbers, lines = [], messages = [], isNew }: OpenEphysFile) {
  const structure = {
    'GUI version': isNew ? '0.6.0' : '0.5.5',
    continuous: [
      {
        folder_name: `${STREAM}/`,
        sample_rate: 1000,
        source_processor_name: 'Rhythm FPGA',
        source_processor_id: 100,
        source_processor_sub_idx: 0,
        recorded_processor: 'Record Node',
        recorded_processor_id: 101,
        num_channels: 2,
        channels: [
          {
            channel_name: 'CH1',
            bit_volts: 0.195,
            units: 'uV',
            source_processor_index: 0,
            recorded_processor_index: 0,
          },
          {
            channel_name: 'ADC1',
            bit_volts: 0.00015258,
            units: 'V',
            source_processor_index: 1,
            recorded_processor_index: 1,
          },
        ],
      },
    ],
    events: [
      { folder_name: `${STREAM}/TTL_1/`, channel_name: 'TTL', sample_rate: 1000, type: 'int16', num_channels: 8 },
      {
        folder_name: 'Message_Center-904.0/TEXT_group_1/',
        channel_name: 'GUI Messages',
        sample_rate: 1000,
        type: 'string',
      },
    ],
    spikes: [],
  };
  const big = (list: readonly number[]): Buffer => npyOf(BigInt64Array.from(list, BigInt));
  const counted = (folder: string, list: readonly number[]): Record<string, Uint8Array> =>
    isNew
      ? {
          [`${folder}/sample_numbers.npy`]: big(list),
          [`${folder}/timestamps.npy`]: npyOf(Float64Array.from(list, (n) => n / 1000)),
        }
      : { [`${folder}/timestamps.npy`]: big(list) };
  const ttl = `events/${STREAM}/TTL_1`;
  const text = 'events/Message_Center-904.0/TEXT_group_1';
  const states = npyOf(Int16Array.from(lines, ([, state]) => state));
  const channels = npyOf(Uint16Array.from(lines, ([, state]) => Math.abs(state)));
  return {
    'structure.oebin': Buffer.from(JSON.stringify(structure)),
    [`continuous/${STREAM}/continuous.dat`]: bytesOf(values),
    ...counted(`continuous/${STREAM}`, numbers),
    ...counted(
      ttl,
      lines.map(([number]) => number),
    ),
    ...(isNew
      ? { [`${ttl}/states.npy`]: states }
      : { [`${ttl}/channel_states.npy`]: states, [`${ttl}/channels.npy`]: channels }),
    ...counted(
      text,
      messages.map(([number]) => number),
    ),
    [`${text}/text.npy`]: npyOf(messages.map(([, each]) => each)),
    ...(!isNew && { [`${text}/channels.npy`]: npyOf(Uint16Array.from(messages, () => 0)) }),
    ...(isNew && {
      'sync_messages.txt': Buffer.from(
        'Software Time (milliseconds since midnight Jan 1st 1970 UTC): 1777627810500\nStart Time for Rhythm FPGA (100) - 0 @ 1000 Hz: 5000\n',
      ),
    }),
  } as Record<string, Uint8Array>;
}
