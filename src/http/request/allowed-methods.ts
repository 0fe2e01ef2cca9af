/** Which methods a path has: a wrong one is a 405 with `Allow`, and OPTIONS tells them. */
import type { RequestHandler } from 'express';
import { HttpRefusal } from './refusal.ts';

/** Paths as the API's description has them, each with its operations by method. */
export type DescribedPaths = Readonly<Record<string, object>>;

interface PathPattern {
  readonly pattern: RegExp;
  /** Segments that are no parameters. If two patterns match, the one with more of them is meant. */
  readonly literals: number;
  readonly allow: readonly string[];
}

const METHODS = ['get', 'put', 'post', 'patch', 'delete'] as const;

/** @param more paths with GET alone that the description leaves out */
export function allowedMethods(paths: DescribedPaths, more: readonly string[]): RequestHandler {
  const patterns = [...Object.entries(paths), ...more.map((path): [string, object] => [path, { get: {} }])]
    .map(([path, operations]) => patternOf(path, operations))
    .sort((a, b) => b.literals - a.literals);
  return (req, res, next) => {
    const allow = patterns.find(({ pattern }) => pattern.test(req.path))?.allow;
    if (!allow || (allow.includes(req.method) && req.method !== 'OPTIONS')) {
      next();
      return;
    }
    res.set('Allow', allow.join(', '));
    if (req.method === 'OPTIONS') {
      res.status(204).end();
      return;
    }
    const detail = `${req.path} takes ${allow.join(', ')}`;
    throw new HttpRefusal(405, 'method-not-allowed', 'This path has no such method', detail);
  };
}

function patternOf(path: string, operations: object): PathPattern {
  const isByName = path.includes('/by-name/');
  const segments = path.slice(1).split('/');
  const pattern = segments.map((segment) => {
    if (!segment.startsWith('{')) return escaped(segment);
    // A name may be written with its slashes as they are; the word that introduces it is no id.
    return isByName && segment === '{name}' ? '.+' : '(?!by-name(?:/|$))[^/]+';
  });
  const allow = METHODS.filter((method) => method in operations).map((method) => method.toUpperCase());
  return {
    pattern: new RegExp(`^/${pattern.join('/')}/?$`),
    literals: segments.filter((segment) => !segment.startsWith('{')).length,
    allow: [...allow, ...(allow.includes('GET') ? ['HEAD'] : []), 'OPTIONS'],
  };
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}
