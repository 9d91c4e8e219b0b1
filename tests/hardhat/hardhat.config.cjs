// The network of `hardhat node`. Forks after Cancun would cap a transaction's gas at 2^24.
module.exports = {
  networks: {
    hardhat: {
      chainId: 31337,
      hardfork: "cancun",
      accounts: { count: 1 },
      blockGasLimit: 50_000_000,
      initialBaseFeePerGas: 0,
      gasPrice: 0,
      allowBlocksWithSameTimestamp: true,
      loggingEnabled: false,
    },
  },
};
