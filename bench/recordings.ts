/** Real recordings, compacted, beside h5py's shuffle and gzip: the MIT-BIH ECG and the EEG of a sleep recording, where they are at hand. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { bytesOf } from '../src/core/numbers/dtype.ts';
import { openRecording } from '../src/flows/import/open-recording.ts';
import { projectRoot } from '../test/support/project-root.ts';
import type { Measurement } from './table.ts';
import { Varve } from './varve.ts';

/** Where they are: as for the tests. */
const FOLDER = process.env.VARVE_TEST_DATA ?? resolve(projectRoot(), '../shared/data');
const ECG = join(FOLDER, 'wfdb/100.hea');
const EEG = join(FOLDER, 'edf/short_psg.edf');
const MB = 1e6;

/** Signals of one rate, int16, rows × channels. */
interface Signals {
  readonly name: string;
  readonly rateHz: number;
  readonly channels: number;
  readonly values: Buffer;
}

/** @returns nothing where there are no recordings, or no h5py */
export async function measureRecordings(): Promise<Measurement[]> {
  if (!existsSync(ECG)) return [];
  const folder = await mkdtemp(join(tmpdir(), 'varve-bench-'));
  const varve = await Varve.start();
  try {
    const recordings = [await ecg(), ...eeg(readFileSync(EEG))];
    const ids: string[] = [];
    for (const { name, rateHz, channels, values } of recordings) {
      const id = await varve.createSeries(name, { dtype: 'int16', channels, rateHz });
      await varve.append(id, values);
      ids.push(id);
    }
    await varve.flush();
    await varve.compact();
    const measurements: Measurement[] = [];
    for (const [i, { name, channels, values }] of recordings.entries()) {
      if (!(await varve.readOctets(ids[i], 'rows=0:')).equals(values))
        throw new Error(`${name}: other bytes than sent`);
      const path = join(folder, 'values.i16');
      writeFileSync(path, values);
      measurements.push({
        measure: `sealed with summaries, of ${(values.length / MB).toPrecision(3)} MB`,
        values: name,
        unit: 'MB',
        varve: [(await varve.storedBytes(ids[i])) / MB],
        peers: { h5py: [h5pyBytes(path, channels) / MB] },
      });
    }
    return measurements;
  } finally {
    await varve.stop();
    await rm(folder, { recursive: true });
  }
}

async function ecg(): Promise<Signals> {
  const { recording, close } = await openRecording(ECG, {}, () => {});
  const parts: Buffer[] = [];
  const [series] = recording.series;
  for await (const { values } of series.batches()) parts.push(Buffer.from(bytesOf(values)));
  await close();
  return { name: 'ECG, MIT-BIH 100', rateHz: 360, channels: series.spec.channels.length, values: Buffer.concat(parts) };
}

/** Signals of an EDF file, those of one rate together: a header of ASCII fields, then records of int16, one signal after the other. */
function eeg(file: Buffer): Signals[] {
  const text = (from: number, length: number): string => file.toString('latin1', from, from + length).trim();
  const [headBytes, records, seconds, count] = [text(184, 8), text(236, 8), text(244, 8), text(252, 4)].map(Number);
  const samples = Array.from({ length: count }, (_, i) => Number(text(256 + count * 216 + i * 8, 8)));
  const recordRows = samples.reduce((sum, each) => sum + each, 0);
  return [...new Set(samples)].flatMap((perRecord) => {
    const chosen = samples.flatMap((each, i) => (each === perRecord ? [i] : []));
    const values = new Int16Array(records * perRecord * chosen.length);
    for (let record = 0; record < records; record++) {
      chosen.forEach((signal, channel) => {
        const before = samples.slice(0, signal).reduce((sum, each) => sum + each, 0);
        for (let i = 0; i < perRecord; i++) {
          const at = headBytes + 2 * (record * recordRows + before + i);
          values[(record * perRecord + i) * chosen.length + channel] = file.readInt16LE(at);
        }
      });
    }
    const rateHz = perRecord / seconds;
    const name = `sleep EEG, ${chosen.length} signals at ${rateHz} Hz`;
    return perRecord < 2 ? [] : [{ name, rateHz, channels: chosen.length, values: Buffer.from(values.buffer) }];
  });
}

/** Stored bytes of the chunks, without HDF5's own overhead, as Varve's number has none either. */
function h5pyBytes(path: string, channels: number): number {
  const script = `
import sys, h5py, numpy as np
values = np.fromfile(sys.argv[1], "<i2").reshape(-1, int(sys.argv[2]))
rows = min(len(values), max(1, 131072 // (2 * values.shape[1])))
with h5py.File(sys.argv[1] + ".h5", "w") as f:
    d = f.create_dataset("v", data=values, chunks=(rows, values.shape[1]), shuffle=True, compression="gzip", compression_opts=1)
    print(d.id.get_storage_size())`;
  return Number(execFileSync('/usr/bin/python3', ['-c', script, path, String(channels)]).toString());
}
