/** The address of an MQTT broker, which may have a password. */
import { VarveError } from '../../core/errors.ts';

/** @throws invalid-input if it is none */
export function checkBroker(url: string): void {
  if (!URL.canParse(url) || !/^(mqtts?|wss?):$/.test(new URL(url).protocol)) {
    throw new VarveError('invalid-input', `--mqtt ${withoutPassword(url)}: must be a URL such as mqtt://broker:1883`);
  }
}

/** The address as it may be told. */
export function withoutPassword(url: string): string {
  return url.replace(/\/\/[^/]*@/, '//');
}
