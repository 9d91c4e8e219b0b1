// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

import {Moody} from "./Moody.sol";
import {DemoStaking} from "./DemoStaking.sol";

/// Delegation, keyed by the delegator. Its events carry the shape of the contract it stands for:
/// rewards and slashes change the total of every delegator of a service provider while naming
/// only the provider. Lives behind a proxy, so no constructor.
contract DemoDelegateManager is Moody {
    event IncreaseDelegatedStake(
        address indexed delegator, address indexed serviceProvider, uint256 indexed amount
    );
    event UndelegateStakeRequestEvaluated(
        address indexed delegator, address indexed serviceProvider, uint256 indexed amount
    );
    event RemoveDelegatorRequestEvaluated(
        address indexed serviceProvider, address indexed delegator, uint256 indexed amount
    );
    event Claim(address indexed claimer, uint256 indexed rewards, uint256 indexed newTotal);
    event Slash(address indexed target, uint256 indexed amount, uint256 indexed newTotal);

    DemoStaking public staking;
    mapping(address => uint256) internal totals;
    mapping(address => mapping(address => uint256)) internal delegated; // delegator, provider
    mapping(address => address[]) internal delegators;

    function initialize(DemoStaking staking_) external {
        staking = staking_;
    }

    function getTotalDelegatorStake(address wallet) external view returns (uint256) {
        return answer(wallet, totals[wallet]);
    }

    function getDelegatorsList(address provider) external view returns (address[] memory) {
        return delegators[provider];
    }

    function delegate(address delegator, address provider, uint256 amount) public {
        amount = staking.stakeFor(provider, delegator, amount);
        if (amount > 0 && delegated[delegator][provider] == 0) delegators[provider].push(delegator);
        delegated[delegator][provider] += amount;
        totals[delegator] += amount;
        emit IncreaseDelegatedStake(delegator, provider, amount);
    }

    function undelegate(address delegator, address provider, uint256 amount) public {
        amount = give(delegator, provider, amount);
        emit UndelegateStakeRequestEvaluated(delegator, provider, amount);
    }

    function removeDelegator(address provider, address delegator) external {
        uint256 amount = give(delegator, provider, delegated[delegator][provider]);
        emit RemoveDelegatorRequestEvaluated(provider, delegator, amount);
    }

    function delegateMany(
        address[] calldata from,
        address[] calldata providers,
        uint256[] calldata amounts
    ) external {
        for (uint256 i = 0; i < from.length; i++) delegate(from[i], providers[i], amounts[i]);
    }

    function undelegateMany(
        address[] calldata from,
        address[] calldata providers,
        uint256[] calldata amounts
    ) external {
        for (uint256 i = 0; i < from.length; i++) undelegate(from[i], providers[i], amounts[i]);
    }

    /// Every delegator of the provider gains `permille` of what it delegated; no event names one.
    function claimRewards(address provider, uint256 permille) external {
        address[] storage list = delegators[provider];
        uint256 gained = 0;
        for (uint256 i = 0; i < list.length; i++) {
            uint256 gain = delegated[list[i]][provider] * permille / 1000;
            delegated[list[i]][provider] += gain;
            totals[list[i]] += gain;
            gained += gain;
        }
        staking.reward(provider, gained);
        // The original never assigns the variable it emits here, so `rewards` is always 0.
        emit Claim(provider, 0, staking.totalStakedFor(provider));
    }

    /// The same downwards.
    function slash(address provider, uint256 permille) external {
        address[] storage list = delegators[provider];
        uint256 lost = 0;
        for (uint256 i = 0; i < list.length; i++) {
            uint256 loss = delegated[list[i]][provider] * permille / 1000;
            delegated[list[i]][provider] -= loss;
            totals[list[i]] -= loss;
            lost += loss;
        }
        staking.slash(provider, lost);
        emit Slash(provider, lost, staking.totalStakedFor(provider));
    }

    function silentSet(address wallet, uint256 amount) external {
        totals[wallet] = amount;
    }

    function give(address delegator, address provider, uint256 amount) private returns (uint256) {
        uint256 have = delegated[delegator][provider];
        if (amount > have) amount = have;
        delegated[delegator][provider] = have - amount;
        totals[delegator] -= amount;
        staking.unstakeFor(provider, delegator, amount);
        // Leaving the list happens with the last token, and the event of that step names the leaver.
        if (have > 0 && have == amount) drop(delegators[provider], delegator);
        return amount;
    }

    function drop(address[] storage list, address wallet) private {
        for (uint256 i = 0; i < list.length; i++) {
            if (list[i] != wallet) continue;
            list[i] = list[list.length - 1];
            list.pop();
            return;
        }
    }
}
