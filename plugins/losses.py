"""The pure losses of the built-in methods, to build on: tensors in, a scalar out, no state and no random numbers.

Each is documented where its method is, with its paper. LOSSES_VERSION is raised when one of them gives other numbers or
takes other arguments, and stands for all of them.
"""

from __future__ import annotations

from .methods._similarities import soft_cross_entropy
from .methods.ab import ab_loss
from .methods.abkd import abkd_loss
from .methods.afd import afd_loss
from .methods.at import at_loss
from .methods.bootstrapping import own_target_loss
from .methods.byot import hint_distance, softened_kl
from .methods.catkd import catkd_loss
from .methods.cc import cc_loss
from .methods.crd import crd_loss
from .methods.crld import crld_loss
from .methods.cskd import cskd_loss
from .methods.ctkd import ctkd_loss
from .methods.deit import deit_token_loss
from .methods.dist import dist_loss
from .methods.dkd import dkd_loss
from .methods.dml import mutual_loss
from .methods.eakd import eakd_loss
from .methods.fcfd import fcfd_loss
from .methods.fsp import fsp_loss
from .methods.ft import ft_loss
from .methods.ickd import ickd_loss
from .methods.itrd import itrd_correlation_loss, itrd_mutual_loss
from .methods.kd import kd_loss
from .methods.kdpp import kdpp_loss
from .methods.kdsvd import kdsvd_loss
from .methods.label_smoothing import label_smoothing_loss
from .methods.lskd import lskd_loss
from .methods.mgd import mgd_loss
from .methods.mlkd import mlkd_loss
from .methods.nkd import nkd_loss
from .methods.normkd import normkd_loss
from .methods.nst import nst_loss
from .methods.ofa import ofa_loss
from .methods.ofd import ofd_loss
from .methods.padl2 import padl2_loss
from .methods.pefd import pefd_loss
from .methods.pkt import pkt_loss
from .methods.pskd import pskd_loss
from .methods.rc import rc_loss
from .methods.reviewkd import hcl_loss
from .methods.revision import revision_loss
from .methods.rkd import rkd_loss
from .methods.rld import rld_loss
from .methods.rsd import rsd_loss
from .methods.sdd import sdd_dkd_loss, sdd_loss, sdd_nkd_loss
from .methods.semckd import semckd_loss
from .methods.simkd import simkd_loss
from .methods.sld import sld_loss
from .methods.soft_logits import ba_loss
from .methods.sp import sp_loss
from .methods.srd import srd_loss, srd_projected_loss
from .methods.srrl import srrl_loss
from .methods.sskd import sskd_head_loss, sskd_loss
from .methods.tfkd import tfkd_loss
from .methods.ttm import ttm_loss
from .methods.vid import vid_loss
from .methods.vkd import vkd_loss
from .methods.wkd_f import wkd_f_loss
from .methods.wkd_l import wkd_l_loss
from .methods.wsld import wsld_loss
from .methods.wttm import wttm_loss

LOSSES_VERSION = 1

__all__ = [
    "LOSSES_VERSION",
    "ab_loss",
    "abkd_loss",
    "afd_loss",
    "at_loss",
    "ba_loss",
    "catkd_loss",
    "cc_loss",
    "crd_loss",
    "crld_loss",
    "cskd_loss",
    "ctkd_loss",
    "deit_token_loss",
    "dist_loss",
    "dkd_loss",
    "eakd_loss",
    "fcfd_loss",
    "fsp_loss",
    "ft_loss",
    "hcl_loss",
    "hint_distance",
    "ickd_loss",
    "itrd_correlation_loss",
    "itrd_mutual_loss",
    "kd_loss",
    "kdpp_loss",
    "kdsvd_loss",
    "label_smoothing_loss",
    "lskd_loss",
    "mgd_loss",
    "mlkd_loss",
    "mutual_loss",
    "nkd_loss",
    "normkd_loss",
    "nst_loss",
    "ofa_loss",
    "ofd_loss",
    "own_target_loss",
    "padl2_loss",
    "pefd_loss",
    "pkt_loss",
    "pskd_loss",
    "rc_loss",
    "revision_loss",
    "rkd_loss",
    "rld_loss",
    "rsd_loss",
    "sdd_dkd_loss",
    "sdd_loss",
    "sdd_nkd_loss",
    "semckd_loss",
    "simkd_loss",
    "sld_loss",
    "soft_cross_entropy",
    "softened_kl",
    "sp_loss",
    "srd_loss",
    "srd_projected_loss",
    "srrl_loss",
    "sskd_head_loss",
    "sskd_loss",
    "tfkd_loss",
    "ttm_loss",
    "vid_loss",
    "vkd_loss",
    "wkd_f_loss",
    "wkd_l_loss",
    "wsld_loss",
    "wttm_loss",
]
