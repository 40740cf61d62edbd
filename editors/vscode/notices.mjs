// Writes the licences of what the bundle holds: dist/THIRD-PARTY-NOTICES.txt.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
const shipped = Object.entries(lock.packages).filter(([path, about]) => path && !about.dev && !about.optional);
const texts = shipped.map(([path, about]) => {
  const file = readdirSync(path).find((name) => /^licen[cs]e/i.test(name));
  if (file === undefined) {
    throw new Error(`${path} has no licence file`);
  }
  return `${path.replace(/^.*node_modules\//, "")} ${about.version} (${about.license})\n\n${readFileSync(`${path}/${file}`, "utf8").trim()}\n`;
});
writeFileSync("dist/THIRD-PARTY-NOTICES.txt", texts.join(`\n${"-".repeat(80)}\n\n`));
