// Runs program.js in this realm and says the nonce when the event loop has come to its end.
'use strict';
(() => {
  const fs = require('node:fs');
  const vm = require('node:vm');
  const path = require('node:path');
  const { createRequire } = require('node:module');
  const nonce = fs.readFileSync(0, 'latin1').trim();
  const file = path.resolve('program.js');
  const text = fs.readFileSync(file, 'utf8');
  fs.unlinkSync(file); // the tests stand in it

  // What tests rely on cannot be replaced; what a program adds of its own still can be.
  const assert = require('node:assert');
  let failures = 0;
  console.assert = (condition, ...message) => {
    if (condition) return;
    failures += 1;
    throw new assert.AssertionError({ message: `console.assert: ${message.join(' ')}` });
  };
  const locked = [console, JSON, Math, Number, Object, Reflect, assert, assert.strict];
  for (const target of locked) {
    for (const name of Object.getOwnPropertyNames(target)) {
      const property = Object.getOwnPropertyDescriptor(target, name);
      if (property.configurable && 'value' in property) {
        Object.defineProperty(target, name, { writable: false, configurable: false });
      }
    }
  }
  for (const name of ['console', 'JSON', 'Object']) {
    Object.defineProperty(globalThis, name, {
      value: globalThis[name], writable: false, configurable: false,
    });
  }

  const found = createRequire(file);
  const md5 = (data) => require('node:crypto').createHash('md5').update(data).digest('hex');
  const ownRequire = (name) => {
    if (name !== 'js-md5') return found(name);
    try {
      return found(name);
    } catch {
      return md5;
    }
  };
  Object.assign(ownRequire, found);
  const module = { exports: {}, filename: file, id: '.', loaded: false, children: [], paths: [] };
  ownRequire.main = module; // `require.main === module`: the program is the main one
  Object.assign(globalThis, {
    require: ownRequire, module, exports: module.exports, __filename: file, __dirname: path.dirname(file),
  });

  let script;
  try {
    script = new vm.Script(text, { filename: file });
  } catch (error) {
    fs.writeSync(2, `${error.stack}\n`);
    process.reallyExit(65);
  }
  let hasEnded = false;
  process.on('beforeExit', () => {
    if (hasEnded && failures === 0 && !process.exitCode) fs.writeSync(1, `\n${nonce}\n`);
  });
  script.runInThisContext();
  hasEnded = true;
})();
