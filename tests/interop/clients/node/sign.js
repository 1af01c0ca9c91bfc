// Signs a file with graphene-pk11: node sign.js MODULE TOKEN KEY MECHANISM IN OUT, with the PIN on standard input.
// The packages are found through NODE_PATH.
const fs = require("fs");
const graphene = require("graphene-pk11");

const [path, label, name, mechanism, input, output] = process.argv.slice(2);
const pin = fs.readFileSync(0, "utf8").trim();
const library = graphene.Module.load(path, "token");
library.initialize();
const slots = library.getSlots(true);
let found;
for (let at = 0; at < slots.length; at++) {
  if (slots.items(at).getToken().label.trim() === label) found = slots.items(at);
}
const session = found.open(graphene.SessionFlag.SERIAL_SESSION);
session.login(pin);
const privateKey = session.find({ class: graphene.ObjectClass.PRIVATE_KEY, label: name }).items(0).toType();
const publicKey = session.find({ class: graphene.ObjectClass.PUBLIC_KEY, label: name }).items(0).toType();
const data = fs.readFileSync(input);
const sign = session.createSign(mechanism, privateKey);
sign.update(data.subarray(0, 5));
sign.update(data.subarray(5));
const signature = sign.final();
const verify = session.createVerify(mechanism, publicKey);
verify.update(data);
if (!verify.final(signature)) throw new Error("the token does not verify its own signature");
fs.writeFileSync(output, signature);
session.logout();
session.close();
library.finalize();
