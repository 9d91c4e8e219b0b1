// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

import {Moody} from "./Moody.sol";
import {DemoToken} from "./DemoToken.sol";

/// Stakes keyed by the service provider, what others delegated to it included. Every change is
/// announced by an event that names the wallet. Lives behind a proxy, so no constructor.
contract DemoStaking is Moody {
    event Staked(address indexed user, uint256 amount, uint256 total);
    event Unstaked(address indexed user, uint256 amount, uint256 total);
    event Slashed(address indexed user, uint256 amount, uint256 total);

    DemoToken public token;
    mapping(address => uint256) internal stakes;

    function initialize(DemoToken token_) external {
        token = token_;
    }

    function totalStakedFor(address wallet) external view virtual returns (uint256) {
        return answer(wallet, stakes[wallet]);
    }

    function stake(address user, uint256 amount) public returns (uint256) {
        return stakeFor(user, user, amount);
    }

    /// `payer` pays (as much as it has), the stake is `user`'s.
    function stakeFor(address user, address payer, uint256 amount) public returns (uint256) {
        amount = token.move(payer, address(this), amount);
        stakes[user] += amount;
        emit Staked(user, amount, stakes[user]);
        return amount;
    }

    function unstake(address user, uint256 amount) public returns (uint256) {
        return unstakeFor(user, user, amount);
    }

    function unstakeFor(address user, address payee, uint256 amount) public returns (uint256) {
        if (amount > stakes[user]) amount = stakes[user];
        stakes[user] -= amount;
        token.move(address(this), payee, amount);
        emit Unstaked(user, amount, stakes[user]);
        return amount;
    }

    function slash(address user, uint256 amount) public returns (uint256) {
        if (amount > stakes[user]) amount = stakes[user];
        stakes[user] -= amount;
        token.burn(address(this), amount);
        emit Slashed(user, amount, stakes[user]);
        return amount;
    }

    /// Newly minted tokens, staked for `user`.
    function reward(address user, uint256 amount) public {
        token.mint(address(this), amount);
        stakes[user] += amount;
        emit Staked(user, amount, stakes[user]);
    }

    function stakeMany(address[] calldata users, uint256[] calldata amounts) external {
        for (uint256 i = 0; i < users.length; i++) stake(users[i], amounts[i]);
    }

    function unstakeMany(address[] calldata users, uint256[] calldata amounts) external {
        for (uint256 i = 0; i < users.length; i++) unstake(users[i], amounts[i]);
    }

    function silentSet(address wallet, uint256 amount) external {
        stakes[wallet] = amount;
    }
}

/// A later version that counts differently: after the upgrade every row is wrong at once, and
/// `Upgraded` is the only event.
contract DemoStakingDoubled is DemoStaking {
    function totalStakedFor(address wallet) external view override returns (uint256) {
        return answer(wallet, 2 * stakes[wallet]);
    }
}
