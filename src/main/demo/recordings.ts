/** The recordings of the demo: made here, the same in every run, marked as synthetic. */
import { createHash } from 'node:crypto';
import { nsOfRow } from '../../core/signal/rate.ts';
import type { Recording } from '../../core/signal/recording.ts';
import type { Tags } from '../../core/signal/series.ts';
import { parseTime } from '../../core/time.ts';
import { importedSpec } from '../../formats/recordings/imported-series.ts';
import type { RecordingSource } from '../../flows/import/source-files.ts';
import { growthCurve, type GrowthOptions } from './growth-curve.ts';
import { syntheticEcg, type EcgOptions } from './synthetic-ecg.ts';

export interface DemoRecording {
  readonly name: string;
  readonly source: RecordingSource;
  /** Computes it. */
  make(): Recording;
}

const START_NS = parseTime('2026-05-01T09:00:00Z')!;

/** Two mice and a person, with their beats as annotations. */
export const ECGS: readonly DemoRecording[] = [
  ecg(
    'mouse-12',
    { rateHz: 1000, seconds: 120, bpm: 580, bpmSd: 15, seed: 12 },
    { species: 'mouse', strain: 'C57BL/6J', age_days: 61, anaesthetised: false, heart_rate: 580 },
  ),
  ecg(
    'mouse-13',
    { rateHz: 1000, seconds: 120, bpm: 420, bpmSd: 12, seed: 13 },
    { species: 'mouse', strain: 'C57BL/6J', age_days: 148, anaesthetised: true, heart_rate: 420 },
  ),
  ecg(
    'volunteer-7',
    { rateHz: 360, seconds: 600, bpm: 62, bpmSd: 2, seed: 7 },
    { species: 'human', age_days: 12_410, anaesthetised: false, heart_rate: 62 },
  ),
];

/** Two days in four vessels. */
export const BIOREACTORS: readonly DemoRecording[] = [
  bioreactor(
    'R1',
    { firstOd: 0.02, lastOd: 4.1, growthPerHour: 0.95, lagHours: 1.5, temperatureC: 37, seed: 21 },
    { strain: 'E. coli MG1655', medium: 'LB' },
  ),
  bioreactor(
    'R2',
    { firstOd: 0.02, lastOd: 2.6, growthPerHour: 0.55, lagHours: 3.5, temperatureC: 37, seed: 22 },
    { strain: 'E. coli MG1655', medium: 'M9 glucose' },
  ),
  bioreactor(
    'R3',
    { firstOd: 0.02, lastOd: 2.4, growthPerHour: 0.32, lagHours: 6, temperatureC: 30, seed: 23 },
    { strain: 'E. coli MG1655', medium: 'M9 glucose' },
  ),
  bioreactor(
    'R4',
    { firstOd: 0.05, lastOd: 7.8, growthPerHour: 0.4, lagHours: 4, temperatureC: 30, seed: 24 },
    { strain: 'S. cerevisiae CEN.PK', medium: 'YPD' },
  ),
];

function ecg(animal: string, options: EcgOptions, tags: Tags): DemoRecording {
  const name = `demo/ecg/${animal}`;
  const rate = { num: BigInt(options.rateHz), den: 1n };
  const make = (): Recording => {
    const { microvolts, beats } = syntheticEcg(options);
    return {
      series: [
        {
          spec: importedSpec({
            name,
            description: 'Synthetic, by the dynamical model of McSharry et al. (2003)',
            dtype: 'int16',
            channels: [{ label: 'II' }],
            unit: 'mV',
            scale: 0.001,
            sampling: { kind: 'regular', rate, startNs: START_NS },
            tags: { ...tags, synthetic: true },
            provenance: { parameters: options },
          }),
          rows: microvolts.length,
          batches: () => [{ rows: microvolts.length, values: microvolts, times: null }],
          annotations: beats.map((sample) => {
            const ns = START_NS + nsOfRow(rate, sample);
            return { startNs: ns, endNs: ns, label: 'N', payload: { sample } };
          }),
        },
      ],
      notes: [],
    };
  };
  return { name, source: sourceOf(name, options), make };
}

function bioreactor(
  vessel: string,
  culture: Omit<GrowthOptions, 'hours' | 'everySeconds' | 'startNs'>,
  tags: Tags,
): DemoRecording {
  const name = `demo/bioreactor/${vessel}`;
  const parameters = { hours: 48, everySeconds: 30, ...culture };
  const make = (): Recording => {
    const { times, values } = growthCurve({ ...parameters, startNs: START_NS });
    return {
      series: [
        {
          spec: importedSpec({
            name,
            description: 'Synthetic, by the Gompertz curve of Zwietering et al. (1990)',
            dtype: 'float64',
            channels: [{ label: 'OD600' }, { label: 'temperature', unit: 'Cel' }],
            sampling: { kind: 'irregular' },
            tags: { ...tags, temperature: culture.temperatureC, synthetic: true },
            provenance: { parameters },
          }),
          rows: times.length,
          batches: () => [{ rows: times.length, values, times }],
          annotations: [],
        },
      ],
      notes: [],
    };
  };
  return { name, source: sourceOf(name, parameters), make };
}

/** Instead of a file, the parameters tell one recording from another. */
function sourceOf(name: string, parameters: object): RecordingSource {
  return { file: `synthetic ${name}`, sha256: createHash('sha256').update(JSON.stringify(parameters)).digest('hex') };
}
