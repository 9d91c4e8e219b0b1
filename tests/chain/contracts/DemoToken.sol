// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

import {Moody} from "./Moody.sol";

/// An ERC-20 with a back door: anyone may mint, move anyone's tokens, and change a balance in
/// silence, as rebasing and lending tokens do.
contract DemoToken is Moody {
    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    string public name = "Demo Audio";
    string public symbol = "DEMO";
    uint8 public constant decimals = 18;
    uint256 public totalSupply;
    mapping(address => uint256) internal balances;
    mapping(address => mapping(address => uint256)) public allowance;

    function balanceOf(address wallet) public view virtual returns (uint256) {
        return answer(wallet, balances[wallet]);
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        require(balances[msg.sender] >= amount, "balance too low");
        shift(msg.sender, to, amount);
        return true;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        emit Approval(msg.sender, spender, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        allowance[from][msg.sender] -= amount;
        require(balances[from] >= amount, "balance too low");
        shift(from, to, amount);
        return true;
    }

    function mint(address to, uint256 amount) external {
        shift(address(0), to, amount);
    }

    function burn(address from, uint256 amount) external {
        shift(from, address(0), amount);
    }

    /// A transfer by anybody, of at most what is there: random traffic need not keep accounts.
    function move(address from, address to, uint256 amount) public returns (uint256) {
        uint256 have = balances[from];
        if (amount > have) amount = have;
        shift(from, to, amount);
        return amount;
    }

    function mintMany(address[] calldata to, uint256[] calldata amounts) external {
        for (uint256 i = 0; i < to.length; i++) shift(address(0), to[i], amounts[i]);
    }

    function moveMany(
        address[] calldata from,
        address[] calldata to,
        uint256[] calldata amounts
    ) external {
        for (uint256 i = 0; i < from.length; i++) move(from[i], to[i], amounts[i]);
    }

    /// The change that no event announces.
    function silentSet(address wallet, uint256 amount) public {
        totalSupply = totalSupply - balances[wallet] + amount;
        balances[wallet] = amount;
    }

    function silentSetMany(address[] calldata wallets, uint256[] calldata amounts) external {
        for (uint256 i = 0; i < wallets.length; i++) silentSet(wallets[i], amounts[i]);
    }

    /// The event without the change: spam that only costs reads.
    function fakeTransfer(address from, address to, uint256 amount) external {
        emit Transfer(from, to, amount);
    }

    /// An ERC-721 Transfer has the same topic, but a fourth one where the value should be.
    function fakeNftTransfer(address from, address to, uint256 id) external {
        bytes32 topic = Transfer.selector;
        assembly {
            log4(0, 0, topic, from, to, id)
        }
    }

    function setSymbol(string calldata text) external {
        symbol = text;
    }

    function shift(address from, address to, uint256 amount) private {
        if (from == address(0)) totalSupply += amount;
        else balances[from] -= amount;
        if (to == address(0)) totalSupply -= amount;
        else balances[to] += amount;
        emit Transfer(from, to, amount);
    }
}
