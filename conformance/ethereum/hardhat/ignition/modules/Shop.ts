import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

// A library, a contract made with value, one made from the address of another, a call, and an argument from an event.
export default buildModule("Shop", (m) => {
  const prices = m.library("Prices");
  const till = m.contract("Till", [m.getAccount(0)], { value: 5n });
  const shop = m.contract("Shop", [till, 21n], { libraries: { Prices: prices } });
  const bought = m.call(shop, "buy", [], { value: 42n });
  const paid = m.readEventArgument(bought, "Paid", "amount", { emitter: till });
  m.call(till, "pay", [], { value: paid, id: "again" });
  return { till, shop };
});
