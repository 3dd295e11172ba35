// Bundles the page into qflowd/static; with --test, the tests into .test/ for node's own runner.
import { build } from 'esbuild';
import { copyFile, mkdir, readdir, rm } from 'node:fs/promises';

const common = { bundle: true, format: 'esm', jsx: 'automatic', jsxImportSource: 'preact', logLevel: 'warning' };

if (process.argv.includes('--test')) {
  await rm('.test', { recursive: true, force: true });
  const entryPoints = (await readdir('test')).filter((name) => name.endsWith('.test.ts')).map((name) => `test/${name}`);
  await build({ ...common, entryPoints, outdir: '.test', platform: 'node', outExtension: { '.js': '.mjs' } });
} else {
  const out = new URL('../qflowd/static/', import.meta.url).pathname;
  await mkdir(out, { recursive: true });
  await build({ ...common, entryPoints: { app: 'src/main.tsx', shell: 'src/shell.ts' }, outdir: out, minify: true, target: 'es2022', legalComments: 'none' });
  await copyFile('src/index.html', `${out}index.html`);
  await copyFile('src/icon.svg', `${out}icon.svg`);
}
