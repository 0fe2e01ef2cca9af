/**
 * A batch culture as its sensors see it: optical density along a Gompertz curve, and the temperature of the vessel.
 * @see M. H. Zwietering, I. Jongenburger, F. M. Rombouts, K. van 't Riet: Modeling of the bacterial growth curve. Applied and
 * Environmental Microbiology 56(6), 1875–1881 (1990)
 */
import { NS_PER_S } from '../../core/time.ts';
import { normalNoise, uniformNoise } from './seeded-noise.ts';

export interface GrowthOptions {
  readonly hours: number;
  readonly everySeconds: number;
  readonly startNs: bigint;
  readonly firstOd: number;
  readonly lastOd: number;
  /** Largest specific growth rate, 1/h. */
  readonly growthPerHour: number;
  readonly lagHours: number;
  readonly temperatureC: number;
  readonly seed: number;
}

export interface GrowthCurve {
  /** int64 ns, one a row, strictly ascending, never quite evenly. */
  readonly times: BigInt64Array;
  /** Rows × [OD600, °C]. */
  readonly values: Float64Array;
}

/** A reading comes up to this part of the period late, as on a small computer that also does other things … */
const JITTER = 0.2;
/** … and this part of them never comes. */
const LOST = 0.01;
const OD_NOISE = 0.01;
const TEMPERATURE_NOISE_C = 0.05;

export function growthCurve(options: GrowthOptions): GrowthCurve {
  const { hours, everySeconds, startNs, temperatureC, seed } = options;
  const uniform = uniformNoise(seed);
  const normal = normalNoise(seed + 1);
  const times: bigint[] = [];
  const values: number[] = [];
  const periods = Math.floor((hours * 3600) / everySeconds);
  for (let period = 0; period < periods; period++) {
    if (uniform() < LOST) continue;
    const seconds = (period + JITTER * uniform()) * everySeconds;
    times.push(startNs + BigInt(Math.round(seconds * 1e6)) * (NS_PER_S / 1_000_000n));
    values.push(opticalDensity(options, seconds / 3600) * (1 + OD_NOISE * normal()));
    values.push(temperatureC + TEMPERATURE_NOISE_C * normal());
  }
  return { times: BigInt64Array.from(times), values: Float64Array.from(values) };
}

/** The modified Gompertz equation: ln(OD / first OD) = A · exp(−exp(μ·e/A · (λ − t) + 1)). */
function opticalDensity({ firstOd, lastOd, growthPerHour, lagHours }: GrowthOptions, hours: number): number {
  const asymptote = Math.log(lastOd / firstOd);
  const exponent = ((growthPerHour * Math.E) / asymptote) * (lagHours - hours) + 1;
  return firstOd * Math.exp(asymptote * Math.exp(-Math.exp(exponent)));
}
