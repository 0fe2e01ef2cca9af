/** Style sheets are for the bundler, which puts them into one. */
declare module '*.css';
