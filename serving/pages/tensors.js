// A model that takes tensors: what they are, and how to send them.
import { at, make } from "./dom.js";
import { address } from "./http.js";
import { codeIn, quoted } from "./code.js";

export function tensorPanel(panel) {
  const code = codeIn(panel.querySelector(".code"));
  const words = ({ name, data_type, dims }) => `${name}: ${data_type.replace("TYPE_", "")}, (batch, ${dims.map((n) => (n < 0 ? "any" : n)).join(", ")})`;
  return {
    show({ name, input, output }) {
      at("ports").replaceChildren(...input.map((one) => make("li", {}, make("code", {}, words(one)))), ...output.map((one) => make("li", {}, "gives ", make("code", {}, words(one)))));
      const inputs = input.map(({ name: one, data_type, dims }) => ({ name: one, datatype: data_type.replace("TYPE_", ""), shape: [1, ...dims.map((n) => Math.max(1, n))], data: ["…"] }));
      const host = new URL(document.baseURI);
      code({
        curl: `curl ${address(`v2/models/${encodeURIComponent(name)}/infer`)} -d ${quoted({ inputs })}`,
        python: `import numpy, tritonclient.http as triton\nclient = triton.InferenceServerClient("${host.host}${host.pathname.replace(/\/$/, "")}")\nx = triton.InferInput("${input[0].name}", ${JSON.stringify(inputs[0].shape)}, "${inputs[0].datatype}")\nx.set_data_from_numpy(numpy.zeros(${JSON.stringify(inputs[0].shape)}, "${inputs[0].datatype === "FP32" ? "float32" : "int32"}"))\nprint(client.infer("${name}", [x]).as_numpy("${output[0].name}"))`,
      });
    },
    wait() {},
    besides() {},
  };
}
