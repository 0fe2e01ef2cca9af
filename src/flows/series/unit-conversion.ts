/** Physical values in another unit than that of the series: by UCUM, exactly where the factor is a whole number. */
import { unprocessableField } from '../../core/errors.ts';
import { nearestNumber } from '../../core/numbers/fraction.ts';
import { plus, ratio, times, type Ratio } from '../../core/numbers/ratio.ts';
import type { Conversion, ConvertedChannel } from '../../core/signal/calibration.ts';
import type { Channel, Series } from '../../core/signal/series.ts';
import type { TagUnit } from '../../core/signal/tag-value.ts';
import { readUnit } from './tag-units.ts';

/** What files say that UCUM does not know. */
const SAID: Readonly<Record<string, string>> = {
  volt: 'V',
  volts: 'V',
  ampere: 'A',
  amperes: 'A',
  siemens: 'S',
  ohm: 'Ohm',
  ohms: 'Ohm',
  seconds: 's',
  meters: 'm',
  hertz: 'Hz',
  degc: 'Cel',
  degreec: 'Cel',
  celsius: 'Cel',
  degree_celsius: 'Cel',
  degrees_celsius: 'Cel',
  kelvin: 'K',
};

/**
 * The channel with its physical values in a unit.
 * @throws unprocessable naming `unit` for a text that is no unit, and where the channel's does not measure the same
 */
export function channelIn({ unit: common }: Pick<Series, 'unit'>, channel: Channel, unit: string): ConvertedChannel {
  const own = channel.unit ?? common;
  if (own === unit) return channel;
  const wanted = meantUnit(unit);
  if (!wanted) throw unprocessableField('unit', `${JSON.stringify(unit)} is no UCUM unit`, 'unknown-unit');
  const name = JSON.stringify(channel.label);
  if (own === null) throw unprocessableField('unit', `channel ${name} has no unit, so nothing converts it`, 'no-unit');
  const from = meantUnit(own);
  if (!from) throw unprocessableField('unit', `channel ${name} is in ${own}, which is no UCUM unit`, 'unknown-unit');
  if (from.dimension !== wanted.dimension) {
    const message = `channel ${name} is in ${own}, which does not convert to ${unit}`;
    throw unprocessableField('unit', message, 'incommensurable-units');
  }
  return { ...channel, unit, conversion: conversionOf(from, wanted) };
}

/** The series with these channels in a unit; others stay as they are. @throws what {@link channelIn} throws */
export function seriesIn<S extends Series>(series: S, selected: readonly number[] | null, unit: string): S {
  const channels = series.channels.map((channel, at) =>
    selected === null || selected.includes(at) ? channelIn(series, channel, unit) : channel,
  );
  return { ...series, channels, unit };
}

function meantUnit(text: string): TagUnit | undefined {
  return readUnit(text) ?? readUnit(SAID[text.trim().toLowerCase()] ?? text.trim());
}

/** From `x` of one unit to `(x × factor + shift − shift of the other) / factor of the other`. */
function conversionOf(from: TagUnit, to: TagUnit): Conversion {
  const factor = divided(from.factor, to.factor);
  const add = divided(plus(from.shift, { num: -to.shift.num, den: to.shift.den }), to.factor);
  const [num, den] = [Number(factor.num), Number(factor.den)];
  const isExact = Number.isSafeInteger(num) && Number.isSafeInteger(den);
  return {
    multiply: isExact ? num : nearestNumber(factor.num, factor.den),
    divide: isExact ? den : 1,
    add: nearestNumber(add.num, add.den),
  };
}

function divided(a: Ratio, b: Ratio): Ratio {
  return times(a, ratio(b.den, b.num));
}
