#ifndef GPTVQ_TESTS_SIM_SIM_CLIENT_H_
#define GPTVQ_TESTS_SIM_SIM_CLIENT_H_

#include "tests/sim/sim_coordinator.h"

namespace gptvq {

// A client that submits a job, repeats until it is acknowledged and sometimes after, and sometimes cancels it. Late or
// by blunder it submits another spec under the same request id. Borrows everything.
class SimClient {
 public:
  SimClient(int number, double audit_fraction, SimWorld& world, SimCoordinator& coordinator);

  bool submitted() const { return submitted_; }

 private:
  void Submit();
  // Another spec under the same request id.
  void SubmitOther();
  // Long after, when the job may have ended: the same submission again, and another.
  void ComeBack();
  void Cancel();

  SimWorld& world_;
  SimCoordinator& coordinator_;
  SubmitJob submission_;
  SimLink link_;
  bool cancels_ = false;
  bool submitted_ = false;
  bool cancelled_ = false;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SIM_SIM_CLIENT_H_
