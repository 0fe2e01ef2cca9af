/**
 * Synthetic electrocardiograms.
 * @see P. E. McSharry, G. D. Clifford, L. Tarassenko, L. A. Smith: A dynamical model for generating synthetic electrocardiogram
 * signals. IEEE Transactions on Biomedical Engineering 50(3), 289–294 (2003)
 */
import { normalNoise, uniformNoise } from './seeded-noise.ts';

export interface EcgOptions {
  readonly rateHz: number;
  readonly seconds: number;
  /** Mean and standard deviation of the heart rate, beats a minute. */
  readonly bpm: number;
  readonly bpmSd: number;
  readonly seed: number;
}

export interface SyntheticEcg {
  /** One sample a row. */
  readonly microvolts: Int16Array;
  /** Samples of the R peaks, ascending. */
  readonly beats: readonly number[];
}

/** Angle on the limit cycle, height and width of the waves P, Q, R, S, T: Table I of the paper. */
const WAVES = [
  { angle: -Math.PI / 3, height: 1.2, width: 0.25 },
  { angle: -Math.PI / 12, height: -5, width: 0.1 },
  { angle: 0, height: 30, width: 0.1 },
  { angle: Math.PI / 12, height: -7.5, width: 0.1 },
  { angle: Math.PI / 2, height: 0.75, width: 0.4 },
] as const;

/** The baseline follows breathing. Its size, before scaling, is that of the authors' program at one beat a second; waves that pass faster are lower. */
const BREATHING = { hz: 0.25, size: 0.005 };
/** Spectrum of the intervals between beats: Mayer waves and respiratory sinus arrhythmia, with the paper's LF/HF ratio of 0.5. */
const MODES = [
  { hz: 0.1, sd: 0.01, power: 0.5 },
  { hz: 0.25, sd: 0.01, power: 1 },
] as const;
const SPECTRUM_STEP_HZ = 1 / 256;
const SPECTRUM_END_HZ = 0.5;
/** The trace is scaled to this range, in mV. */
const RANGE_MV = { low: -0.4, high: 1.2 };
const NOISE_MV = 0.01;

type State = readonly [x: number, y: number, z: number];

interface Forces {
  /** Radians a second. */
  readonly angular: number;
  /** Height of the baseline's swing. */
  readonly breathing: number;
}

/** Solves the model with a Runge-Kutta step of fourth order a sample. The first beat comes half an interval after the start. */
export function syntheticEcg({ rateHz, seconds, bpm, bpmSd, seed }: EcgOptions): SyntheticEcg {
  const intervalAt = beatIntervals(bpm, bpmSd, seed);
  const rows = Math.round(seconds * rateHz);
  const step = 1 / rateHz;
  const breathing = (BREATHING.size * 60) / bpm;
  const trace = new Float64Array(rows);
  const beats: number[] = [];
  let state: State = [-1, 0, 0];
  let angular = (2 * Math.PI) / intervalAt(0);
  for (let row = 0; row < rows; row++) {
    trace[row] = state[2];
    const before = state[1];
    state = rungeKutta(state, row * step, step, { angular, breathing });
    // On the right side of the cycle the angle passes zero, the R peak; on the left a new interval begins.
    if (before < 0 === state[1] < 0) continue;
    if (state[0] > 0 && row + 1 < rows) beats.push(row + 1);
    else if (state[0] < 0) angular = (2 * Math.PI) / intervalAt(row * step);
  }
  return { microvolts: scaled(trace, seed), beats };
}

function rungeKutta([x, y, z]: State, time: number, h: number, forces: Forces): State {
  const k1 = slope(x, y, z, time, forces);
  const k2 = slope(x + (h / 2) * k1[0], y + (h / 2) * k1[1], z + (h / 2) * k1[2], time + h / 2, forces);
  const k3 = slope(x + (h / 2) * k2[0], y + (h / 2) * k2[1], z + (h / 2) * k2[2], time + h / 2, forces);
  const k4 = slope(x + h * k3[0], y + h * k3[1], z + h * k3[2], time + h, forces);
  return [
    x + (h / 6) * (k1[0] + 2 * k2[0] + 2 * k3[0] + k4[0]),
    y + (h / 6) * (k1[1] + 2 * k2[1] + 2 * k3[1] + k4[1]),
    z + (h / 6) * (k1[2] + 2 * k2[2] + 2 * k3[2] + k4[2]),
  ];
}

/** Equations (1) of the paper: a point drawn to the unit circle, pushed up and down by the waves it passes. */
function slope(x: number, y: number, z: number, time: number, { angular, breathing }: Forces): State {
  const pull = 1 - Math.hypot(x, y);
  const angle = Math.atan2(y, x);
  let dz = breathing * Math.sin(2 * Math.PI * BREATHING.hz * time) - z;
  for (const wave of WAVES) {
    let distance = angle - wave.angle;
    if (distance > Math.PI) distance -= 2 * Math.PI;
    else if (distance < -Math.PI) distance += 2 * Math.PI;
    dz -= wave.height * distance * Math.exp(-(distance ** 2) / (2 * wave.width ** 2));
  }
  return [pull * x - angular * y, pull * y + angular * x, dz];
}

/** Seconds from beat to beat at a time: a sum of cosines with the spectrum's amplitudes and random phases. */
function beatIntervals(bpm: number, bpmSd: number, seed: number): (seconds: number) => number {
  const uniform = uniformNoise(seed);
  const waves: { hz: number; amplitude: number; phase: number }[] = [];
  for (let hz = SPECTRUM_STEP_HZ; hz < SPECTRUM_END_HZ; hz += SPECTRUM_STEP_HZ) {
    const density = MODES.reduce((sum, mode) => {
      return sum + (mode.power / mode.sd) * Math.exp(-((hz - mode.hz) ** 2) / (2 * mode.sd ** 2));
    }, 0);
    waves.push({ hz, amplitude: Math.sqrt(density), phase: 2 * Math.PI * uniform() });
  }
  const sd = Math.sqrt(waves.reduce((sum, { amplitude }) => sum + amplitude ** 2 / 2, 0));
  const mean = 60 / bpm;
  const scale = (mean * bpmSd) / bpm / sd;
  return (seconds) =>
    mean +
    scale *
      waves.reduce(
        (sum, { hz, amplitude, phase }) => sum + amplitude * Math.cos(2 * Math.PI * hz * seconds + phase),
        0,
      );
}

function scaled(trace: Float64Array, seed: number): Int16Array {
  const normal = normalNoise(seed);
  let low = Infinity;
  let high = -Infinity;
  for (const value of trace) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const gain = (RANGE_MV.high - RANGE_MV.low) / (high - low);
  return Int16Array.from(trace, (value) =>
    Math.round(1000 * (RANGE_MV.low + (value - low) * gain + NOISE_MV * normal())),
  );
}
