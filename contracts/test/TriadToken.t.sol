// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ERC3009} from "../src/ERC3009.sol";
import {TriadToken} from "../src/TriadToken.sol";
import {Test} from "./Test.sol";

/// @dev A wallet that is a contract and signs whatever its owner's word is.
contract Wallet is IERC1271 {
    bytes32 private immutable _word;

    constructor(bytes32 word) {
        _word = word;
    }

    function isValidSignature(bytes32, bytes calldata signature) external view returns (bytes4) {
        return keccak256(signature) == _word ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}

contract TriadTokenTest is Test {
    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
    event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);

    uint256 private constant KEY = 0xA11CE;
    address private constant BOB = address(0xB0B);
    bytes32 private constant NONCE = keccak256("nonce");
    TriadToken private token;
    address private alice;

    function setUp() public {
        vm.warp(1_800_000_000);
        alice = vm.addr(KEY);
        token = new TriadToken("Consortium euro", "CEUR", 6);
        token.mint(alice, 1000);
    }

    function test_theDeployerMintsAndNobodyElse() public {
        vm.assertEq(token.decimals(), 6, "decimals");
        vm.assertEq(token.totalSupply(), 1000, "supply");
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, BOB));
        token.mint(BOB, 1);
    }

    function test_aPermitAllows() public {
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        uint256 deadline = block.timestamp;
        (uint8 v, bytes32 r, bytes32 s) = _sign(keccak256(abi.encode(typeHash, alice, BOB, 5, 0, deadline)));
        token.permit(alice, BOB, 5, deadline, v, r, s);
        vm.assertEq(token.allowance(alice, BOB), 5, "allowance");
        vm.expectRevert(); // once
        token.permit(alice, BOB, 5, deadline, v, r, s);
    }

    function test_anybodySubmitsATransferOnce() public {
        (uint8 v, bytes32 r, bytes32 s) = _sign(_transfer(alice, BOB, 10, 0, type(uint256).max));
        vm.expectEmit(true, true, true, true, address(token));
        emit AuthorizationUsed(alice, NONCE);
        token.transferWithAuthorization(alice, BOB, 10, 0, type(uint256).max, NONCE, v, r, s);
        vm.assertEq(token.balanceOf(BOB), 10, "moved");
        vm.assertTrue(token.authorizationState(alice, NONCE), "used");
        vm.expectRevert(abi.encodeWithSelector(ERC3009.AuthorizationAlreadyUsed.selector, alice, NONCE));
        token.transferWithAuthorization(alice, BOB, 10, 0, type(uint256).max, NONCE, v, r, s);
    }

    function test_nothingInATransferCanBeChanged() public {
        (uint8 v, bytes32 r, bytes32 s) = _sign(_transfer(alice, BOB, 10, 1, type(uint256).max));
        bytes memory invalid = abi.encodeWithSelector(ERC3009.InvalidAuthorizationSignature.selector);
        vm.expectRevert(invalid);
        token.transferWithAuthorization(BOB, BOB, 10, 1, type(uint256).max, NONCE, v, r, s);
        vm.expectRevert(invalid);
        token.transferWithAuthorization(alice, address(this), 10, 1, type(uint256).max, NONCE, v, r, s);
        vm.expectRevert(invalid);
        token.transferWithAuthorization(alice, BOB, 11, 1, type(uint256).max, NONCE, v, r, s);
        vm.expectRevert(invalid);
        token.transferWithAuthorization(alice, BOB, 10, 0, type(uint256).max, NONCE, v, r, s);
        vm.expectRevert(invalid);
        token.transferWithAuthorization(alice, BOB, 10, 1, type(uint256).max - 1, NONCE, v, r, s);
        vm.expectRevert(invalid);
        token.transferWithAuthorization(alice, BOB, 10, 1, type(uint256).max, bytes32(0), v, r, s);
        // a transfer is no receipt
        vm.prank(BOB);
        vm.expectRevert(invalid);
        token.receiveWithAuthorization(alice, BOB, 10, 1, type(uint256).max, NONCE, v, r, s);
        vm.chainId(1);
        vm.expectRevert(invalid);
        token.transferWithAuthorization(alice, BOB, 10, 1, type(uint256).max, NONCE, v, r, s);
    }

    function test_aTransferHasItsTime() public {
        uint256 t = block.timestamp;
        (uint8 v, bytes32 r, bytes32 s) = _sign(_transfer(alice, BOB, 10, t, t + 10));
        vm.expectRevert(abi.encodeWithSelector(ERC3009.AuthorizationNotYetValid.selector, t));
        token.transferWithAuthorization(alice, BOB, 10, t, t + 10, NONCE, v, r, s);
        vm.warp(t + 10);
        vm.expectRevert(abi.encodeWithSelector(ERC3009.AuthorizationExpired.selector, t + 10));
        token.transferWithAuthorization(alice, BOB, 10, t, t + 10, NONCE, v, r, s);
        vm.warp(t + 9);
        token.transferWithAuthorization(alice, BOB, 10, t, t + 10, NONCE, v, r, s);
    }

    function test_onlyThePayeeReceives() public {
        bytes32 hash = keccak256(
            abi.encode(
                token.RECEIVE_WITH_AUTHORIZATION_TYPEHASH(), alice, BOB, 10, 0, type(uint256).max, NONCE
            )
        );
        (uint8 v, bytes32 r, bytes32 s) = _sign(hash);
        vm.expectRevert(abi.encodeWithSelector(ERC3009.CallerIsNotPayee.selector, address(this), BOB));
        token.receiveWithAuthorization(alice, BOB, 10, 0, type(uint256).max, NONCE, v, r, s);
        vm.prank(BOB);
        token.receiveWithAuthorization(alice, BOB, 10, 0, type(uint256).max, NONCE, v, r, s);
        vm.assertEq(token.balanceOf(BOB), 10, "moved");
    }

    function test_aCancelledAuthorizationIsUseless() public {
        (uint8 v, bytes32 r, bytes32 s) =
            _sign(keccak256(abi.encode(token.CANCEL_AUTHORIZATION_TYPEHASH(), alice, NONCE)));
        vm.expectRevert(ERC3009.InvalidAuthorizationSignature.selector);
        token.cancelAuthorization(BOB, NONCE, v, r, s);
        vm.expectEmit(true, true, true, true, address(token));
        emit AuthorizationCanceled(alice, NONCE);
        token.cancelAuthorization(alice, NONCE, v, r, s);
        vm.expectRevert(abi.encodeWithSelector(ERC3009.AuthorizationAlreadyUsed.selector, alice, NONCE));
        token.cancelAuthorization(alice, NONCE, v, r, s);
        (v, r, s) = _sign(_transfer(alice, BOB, 10, 0, type(uint256).max));
        vm.expectRevert(abi.encodeWithSelector(ERC3009.AuthorizationAlreadyUsed.selector, alice, NONCE));
        token.transferWithAuthorization(alice, BOB, 10, 0, type(uint256).max, NONCE, v, r, s);
    }

    function test_aContractWalletSignsToo() public {
        Wallet wallet = new Wallet(keccak256("please"));
        token.mint(address(wallet), 10);
        vm.expectRevert(ERC3009.InvalidAuthorizationSignature.selector);
        token.transferWithAuthorization(address(wallet), BOB, 10, 0, type(uint256).max, NONCE, "no");
        token.transferWithAuthorization(address(wallet), BOB, 10, 0, type(uint256).max, NONCE, "please");
        vm.assertEq(token.balanceOf(BOB), 10, "moved");
    }

    function test_theTypeHashesAreThoseOfTheStandard() public view {
        // As printed in ERC-3009.
        vm.assertEq(
            token.TRANSFER_WITH_AUTHORIZATION_TYPEHASH(),
            0x7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267,
            "transfer"
        );
        vm.assertEq(
            token.RECEIVE_WITH_AUTHORIZATION_TYPEHASH(),
            0xd099cc98ef71107a616c4f0f941f04c322d8e254fe26b3c6668db87aae413de8,
            "receive"
        );
        vm.assertEq(
            token.CANCEL_AUTHORIZATION_TYPEHASH(),
            0x158b0a9edf7a828aad02f63cd515c68ef2f50ba807396f6d12842833a1597429,
            "cancel"
        );
    }

    function _transfer(address from, address to, uint256 value, uint256 after_, uint256 before)
        private
        view
        returns (bytes32)
    {
        return keccak256(
            abi.encode(token.TRANSFER_WITH_AUTHORIZATION_TYPEHASH(), from, to, value, after_, before, NONCE)
        );
    }

    function _sign(bytes32 structHash) private view returns (uint8 v, bytes32 r, bytes32 s) {
        return vm.sign(KEY, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), structHash)));
    }
}
