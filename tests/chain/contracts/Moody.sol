// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// A view that can be told to misbehave, wallet by wallet. A reader of balances meets all of these
/// on real chains: tokens that revert for blacklisted wallets, proxies between two upgrades, views
/// that swallow an inner failure, contracts that answer with garbage on purpose.
/// Everything here is open to any caller: this is a stage for tests, not a token.
abstract contract Moody {
    uint8 internal constant CALM = 0;
    uint8 internal constant REVERT = 1; // fails with no data
    uint8 internal constant REASON = 2; // fails with Error(string)
    uint8 internal constant BURN = 3; // uses all gas it was given, then fails
    uint8 internal constant SWALLOW = 4; // 7 with enough gas; without it 0, and a success
    uint8 internal constant SHORT = 5; // 31 bytes
    uint8 internal constant LONG = 6; // 64 bytes
    uint8 internal constant EMPTY = 7; // success with no data
    uint8 internal constant BOMB = 8; // as much return data as `number` says, in bytes
    uint8 internal constant HUGE = 9; // 2^256 - 1 - number, so that a sum overflows
    uint8 internal constant REVERT_BOMB = 10; // fails with `number` bytes of data

    struct Mood {
        uint8 kind;
        uint64 number;
    }

    mapping(address => Mood) internal moods;

    function setMood(address wallet, uint8 kind, uint64 number) external {
        moods[wallet] = Mood(kind, number);
    }

    function setMoods(address[] calldata wallets, uint8 kind, uint64 number) external {
        for (uint256 i = 0; i < wallets.length; i++) moods[wallets[i]] = Mood(kind, number);
    }

    /// Burns about `appetite` gas, whatever it is given; with less it runs out.
    function hungry(uint256 appetite) external view returns (uint256) {
        uint256 start = gasleft();
        while (start - gasleft() < appetite) {}
        return 7;
    }

    /// What the view of a wallet says: `value` unless the wallet is in a mood.
    function answer(address wallet, uint256 value) internal view returns (uint256) {
        Mood memory mood = moods[wallet];
        if (mood.kind == CALM) return value;
        if (mood.kind == REASON) revert("not today");
        if (mood.kind == SWALLOW) {
            // The trap: an out-of-gas inside leaves 1/64 out here, which is plenty to answer 0
            // and succeed. Only the gas given, never the reply, tells the two apart.
            try this.hungry(mood.number) returns (uint256 right) {
                return right;
            } catch {
                return 0;
            }
        }
        if (mood.kind == HUGE) return type(uint256).max - mood.number;
        raw(mood);
    }

    /// Answers that Solidity would not give.
    function raw(Mood memory mood) private pure {
        uint256 kind = mood.kind;
        uint256 size = mood.number;
        assembly {
            switch kind
            case 3 { invalid() }
            case 5 { return(0, 31) }
            case 6 { return(0, 64) }
            case 7 { return(0, 0) }
            case 8 { return(0, size) }
            case 10 { revert(0, size) }
            default { revert(0, 0) }
        }
    }
}
