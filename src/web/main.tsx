/** Puts the page together and shows it. */
import { render } from 'preact';
import { Shell } from './shell.tsx';
import { createUrlState } from './url-state.ts';
import './page.css';

/** A shared page lies below its share, and asks the API there. */
const base = /^\/s\/[^/]+/.exec(location.pathname)?.[0] ?? '';
const root = document.getElementById('page');
if (root) render(<Shell base={base} url={createUrlState(window)} />, root);
