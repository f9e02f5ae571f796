"""web3.py: a token, logs, filters, fees, types, errors, the pool, a firing. One line a check."""

import json
import os
import sys
import time
import traceback

from eth_account import Account
from web3 import Web3
from web3.exceptions import ContractCustomError, ContractLogicError, TransactionNotFound, Web3RPCError

Account.enable_unaudited_hdwallet_features()
MNEMONIC = "test test test test test test test test test test test junk"
w3 = Web3(Web3.HTTPProvider(os.environ["TRIAD_RPC"]))
alice = Account.from_mnemonic(MNEMONIC, account_path="m/44'/60'/0'/0/6")
bob = Account.from_mnemonic(MNEMONIC, account_path="m/44'/60'/0'/0/7")
failed = False


def artifact(name):
    with open(os.path.join(os.environ["BUILD"], f"{name}.json")) as file:
        return json.load(file)


def check(name):
    def run(body):
        global failed
        try:
            body()
            print(f"ok web3.py: {name}")
        except Exception:
            failed = True
            print(f"FAIL web3.py: {name}: " + " | ".join(traceback.format_exc().strip().splitlines()[-4:]))

    return run


def send(tx):
    tx = {"nonce": w3.eth.get_transaction_count(alice.address, "pending"), "chainId": w3.eth.chain_id, **tx}
    if "gas" not in tx:
        tx["gas"] = w3.eth.estimate_gas({**tx, "from": alice.address})
    signed = alice.sign_transaction(tx)
    receipt = w3.eth.wait_for_transaction_receipt(w3.eth.send_raw_transaction(signed.raw_transaction), poll_latency=0.02)
    assert receipt.status == 1
    return receipt


def fees():
    tip = w3.eth.max_priority_fee
    return {"maxPriorityFeePerGas": tip, "maxFeePerGas": 2 * w3.eth.get_block("latest").baseFeePerGas + tip}


def deploy(name):
    it = artifact(name)
    receipt = send({"data": it["bytecode"], **fees()})
    return w3.eth.contract(receipt.contractAddress, abi=it["abi"])


state = {}


@check("fees and history")
def _():
    history = w3.eth.fee_history(4, "latest", [10, 90])
    assert len(history.baseFeePerGas) == len(history.gasUsedRatio) + 1 == len(history.reward) + 1
    assert w3.eth.gas_price > 0 and w3.eth.blob_base_fee >= 0


@check("a token, its logs and a filter")
def _():
    coin = state["coin"] = deploy("Coin")
    news = w3.eth.filter({"address": coin.address})
    data = coin.encode_abi("transfer", [bob.address, 5])
    receipt = send({"to": coin.address, "data": data, **fees()})
    assert coin.functions.balanceOf(bob.address).call() == 5
    assert [log.args.value for log in coin.events.Transfer().process_receipt(receipt)] == [5]
    assert [log.args.value for log in coin.events.Transfer().get_logs(from_block=0, argument_filters={"to": bob.address})] == [5]
    assert [log.transactionHash for log in news.get_new_entries()] == [receipt.transactionHash]
    assert news.get_new_entries() == [] and len(news.get_all_entries()) == 1
    assert w3.eth.uninstall_filter(news.filter_id)


@check("block and pending filters")
def _():
    blocks, pending = w3.eth.filter("latest"), w3.eth.filter("pending")
    receipt = send({"to": bob.address, "value": 1, **fees()})
    assert receipt.blockHash in blocks.get_new_entries()
    assert receipt.transactionHash in pending.get_new_entries()


@check("transaction types 0, 1 and 2")
def _():
    base = w3.eth.gas_price
    for kind, price in enumerate([{"gasPrice": base}, {"type": 1, "gasPrice": base, "accessList": []}, fees()]):
        receipt = send({"to": bob.address, "value": 1, **price})
        assert receipt.type == kind == w3.eth.get_transaction(receipt.transactionHash).type


@check("blocks by every name")
def _():
    latest = w3.eth.get_block("latest", full_transactions=True)
    for name in ["latest", "safe", "finalized", "pending"]:
        assert w3.eth.get_block(name).number >= latest.number
    assert w3.eth.get_block(latest.hash).number == latest.number
    assert w3.eth.get_block("earliest").number == 0
    assert w3.eth.get_block_transaction_count(latest.hash) == len(latest.transactions)
    assert len(w3.eth.get_block_receipts(latest.number)) == len(latest.transactions)


@check("errors are decoded")
def _():
    noisy = deploy("Noisy")
    for call, error in [(noisy.functions.refuse(), ContractCustomError), (noisy.functions.say(), ContractLogicError)]:
        try:
            call.call()
        except error:
            continue
        raise AssertionError("no error")


@check("refusals say why")
def _():
    poor = Account.create()
    tx = {"to": bob.address, "value": 1, "gas": 21000, "nonce": 0, "chainId": w3.eth.chain_id, **fees()}
    for signed, words in [
        (poor.sign_transaction(tx), "insufficient funds for gas * price + value"),
        (alice.sign_transaction(tx), "nonce too low"),
        (alice.sign_transaction({**tx, "chainId": 1, "nonce": 10**6}), "invalid chain id"),
        (alice.sign_transaction({**tx, "gas": 10**9, "nonce": 10**6}), "exceeds block gas limit"),
    ]:
        try:
            w3.eth.send_raw_transaction(signed.raw_transaction)
        except Web3RPCError as error:
            assert words in str(error), error
            continue
        raise AssertionError(f"accepted, expected: {words}")


@check("the pool, and a transaction that nobody knows")
def _():
    assert {"pending", "queued"} <= set(w3.geth.txpool.status())
    w3.geth.txpool.content()
    w3.geth.txpool.inspect()
    try:
        w3.eth.get_transaction("0x" + "11" * 32)
    except TransactionNotFound:
        return
    raise AssertionError("found")


if os.environ.get("FIRING"):

    @check("a firing and its receipt")
    def _():
        firing = os.environ["FIRING"]
        receipt = w3.eth.get_transaction_receipt(firing)
        assert receipt.type == 0x74 and receipt.status == 1
        assert w3.eth.get_transaction(firing).type == 0x74
        assert any(tx.hash.to_0x_hex() == firing for tx in w3.eth.get_block(receipt.blockNumber, True).transactions)


sys.exit(failed)
