// A compiler that stays: reads {"source": TEXT} by the line, answers {"code", "error", "cpu_ms"}.
// Argument: the folder of the npm package `typescript`.
'use strict';
const path = require('node:path');
const readline = require('node:readline');
const ts = require(process.argv[2]);

const PROGRAM = '/program.ts';
const AMBIENT = '/ambient.d.ts';
const ambient = [
  'declare var require: any;', 'declare var module: any;', 'declare var exports: any;',
  'declare var process: any;', 'declare var global: any;', 'declare var Buffer: any;',
  "declare module '*';", // whatever is imported: its types are not installed
].join('\n');
const options = {
  target: ts.ScriptTarget.ES2021,
  module: ts.ModuleKind.CommonJS,
  lib: ['lib.es2021.d.ts', 'lib.dom.d.ts'],
  types: [],
  esModuleInterop: true,
  skipLibCheck: true,
  skipDefaultLibCheck: true,
  noEmitOnError: true,
};
const library = path.dirname(ts.getDefaultLibFilePath(options));
const parsed = new Map(); // the platform's declarations are read and parsed once
let text = '';
const host = {
  fileExists: (name) => name === PROGRAM || name === AMBIENT || ts.sys.fileExists(name),
  readFile: (name) => (name === PROGRAM ? text : name === AMBIENT ? ambient : ts.sys.readFile(name)),
  getSourceFile: (name, target) => {
    if (name === PROGRAM) return ts.createSourceFile(name, text, target, true);
    if (!parsed.has(name)) {
      const read = host.readFile(name);
      parsed.set(name, read === undefined ? undefined : ts.createSourceFile(name, read, target, true));
    }
    return parsed.get(name);
  },
  getDefaultLibFileName: (wanted) => path.join(library, ts.getDefaultLibFileName(wanted)),
  getDefaultLibLocation: () => library,
  writeFile: () => {},
  getCurrentDirectory: () => '/',
  getCanonicalFileName: (name) => name,
  useCaseSensitiveFileNames: () => true,
  getNewLine: () => '\n',
  directoryExists: () => false,
  getDirectories: () => [],
};
let previous;

function compile(source) {
  text = source;
  const program = ts.createProgram([PROGRAM, AMBIENT], options, host, previous);
  previous = program;
  const file = program.getSourceFile(PROGRAM);
  const found = [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)];
  const errors = found.filter((each) => each.category === ts.DiagnosticCategory.Error);
  if (errors.length > 0) {
    const lines = errors.map((each) => {
      const { line } = ts.getLineAndCharacterOfPosition(file, each.start ?? 0);
      return `${line + 1}: TS${each.code}: ${ts.flattenDiagnosticMessageText(each.messageText, '\n')}`;
    });
    return { code: '', error: lines.join('\n') };
  }
  let code = '';
  program.emit(file, (name, written) => { if (name.endsWith('.js')) code = written; });
  return { code, error: '' };
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const before = process.cpuUsage();
  let answer;
  try {
    answer = compile(JSON.parse(line).source);
  } catch (error) {
    previous = undefined;
    answer = { code: '', error: `the compiler crashed: ${error.message}` };
  }
  const took = process.cpuUsage(before);
  process.stdout.write(`${JSON.stringify({ ...answer, cpu_ms: (took.user + took.system) / 1000 })}\n`);
});
